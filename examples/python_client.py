"""Send what a user does, and see their recommendations change: ``python python_client.py URL``."""

import sys

from recsvc.client import Client, RecsvcClientError

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
try:
    with Client(url) as client:
        for n, title in enumerate(["Dune", "Solaris", "Emma", "Persuasion"]):
            genre = "space opera" if n < 2 else "love story"
            client.put_item(f"example-{n}", features={"title": title, "genre": genre})
        bought = {"user_id": "example-ada", "event_type": "purchase", "item_id": "example-0"}
        client.send(bought, wait=True)
        for item in client.recommend("example-ada", filter="genre=space opera", limit=3).items:
            print(f"{item.score:.3f}  {item.features['title']}")
        client.erase_user("example-ada")
except RecsvcClientError as error:
    sys.exit(str(error))
