/* Sends views and clicks, shows changing lists. Apache-2.0 */
(function () {
  "use strict";
  let url, user, key, watching;
  const viewed = new Set(), known = new Map();
  const ITEM = "data-recsvc-item", FIRST_MS = 500, MOST_MS = 30000;

  function init(options) {
    url = (options.url || location.origin).replace(/\/+$/, "");
    user = options.user;
    key = options.apiKey;
    watching = watching || watch();
  }

  function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, b => (b + 256).toString(16).slice(1)).join("");
  }

  const headers = () => key ? { Authorization: "Bearer " + key } : {};

  /* A beacon outlives the page but carries no key. */
  function track(type, fields) {
    const event = { event_id: newId(), user_id: user, event_type: type, ...fields };
    const body = JSON.stringify(event), to = url + "/v1/events";
    if (key || !navigator.sendBeacon?.(to, body))
      fetch(to, { method: "POST", keepalive: true, headers: headers(), body }).catch(() => {});
    return event.event_id;
  }

  const view = (id, features) => track("view", { item_id: id, item_features: features });
  const click = id => track("click", { item_id: id });

  async function get(path) {
    const answer = await fetch(url + path, { headers: headers() });
    if (!answer.ok) throw Error(answer.status);
    return answer.json();
  }

  function recommend(params = {}) {
    const query = new URLSearchParams();
    for (const [name, values] of Object.entries(params))
      for (const value of [].concat(values)) query.append(name, value);
    return get("/v1/users/" + encodeURIComponent(user) + "/recommendations?" + query);
  }

  /* Calls back now and at each change; returns what stops it. */
  function onRecommendations(callback, { limit = 10 } = {}) {
    const resume = { type: "resume", user_id: user, limit, features: true };
    let last = 0, failures = 0, socket, timer;

    function open() {
      const keyed = key ? "?api_key=" + encodeURIComponent(key) : "";
      socket = new WebSocket(url.replace(/^http/, "ws") + "/v1/ws" + keyed);
      socket.onopen = () => socket.send(JSON.stringify({ ...resume, sequence: last }));
      socket.onmessage = message => {
        const news = JSON.parse(message.data);
        failures = 0;
        if (!news.recommendations) return;
        last = news.sequence;
        callback(news.recommendations, news);
      };
      socket.onclose = () => {
        const wait = Math.min(MOST_MS, FIRST_MS * 2 ** failures++);
        timer = setTimeout(open, wait * (1 + Math.random()) / 2);
      };
    }
    open();
    return () => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null;
      socket.close();
    };
  }

  /* Shows the list in `element`; `template({item_id, score, features})` makes a row. */
  function render(element, template, { limit = 10 } = {}) {
    let nodes = new Map(), newest = 0;

    async function detailed(item) {
      const id = item.item_id, stored = known.get(id) || (item.features ? item
        : await get("/v1/items/" + encodeURIComponent(id)).catch(() => item));
      if (stored.features) known.set(id, stored);
      return { ...item, features: stored.features || {} };
    }
    async function show(items) {
      const mine = ++newest, all = await Promise.all(items.map(detailed));
      if (mine !== newest) return;
      const kept = new Map();
      all.forEach((item, at) => {
        const id = item.item_id, there = element.children[at];
        const node = nodes.get(id) || template(item);
        node.setAttribute(ITEM, id);
        node.pushed = true;
        kept.set(id, node);
        if (there !== node) element.insertBefore(node, there);
      });
      while (element.children[all.length]) element.lastElementChild.remove();
      nodes = kept;
    }
    const first = recommend({ limit }).then(({ items }) => show(items)).catch(() => {});
    return onRecommendations(items => first.then(() => show(items)), { limit });
  }

  /* Sends clicks on marked elements, and first sights but of pushes. */
  function watch() {
    document.addEventListener("click", event => {
      const hit = event.target.closest?.(`[${ITEM}]`);
      if (hit) click(hit.getAttribute(ITEM));
    }, true);
    const sight = new IntersectionObserver(entries => {
      for (const { isIntersecting, target } of entries) {
        const id = target.getAttribute(ITEM);
        if (!isIntersecting || viewed.has(id)) continue;
        viewed.add(id);
        sight.unobserve(target);
        view(id);
      }
    }, { threshold: 0.5 });
    const look = () => document.querySelectorAll(`[${ITEM}]`).forEach(
      one => one.pushed || viewed.has(one.getAttribute(ITEM)) || sight.observe(one));
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
    look();
    return true;
  }

  window.recsvc = { init, track, view, click, recommend, onRecommendations, render };
})();
