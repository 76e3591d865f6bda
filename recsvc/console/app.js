// The shell: navigation, the key, light and dark, and the page that is looked at.

import { apiKey, get, keyWanted, useLoad } from "./api.js";
import { kept } from "./cell.js";
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./html.js";
import { connection } from "./live.js";
import { href, route, subject } from "./route.js";
import { Costs } from "./pages/costs.js";
import { DeadLetters } from "./pages/dead-letters.js";
import { Items } from "./pages/items.js";
import { MapPage } from "./pages/map.js";
import { Overview } from "./pages/overview.js";
import { Try } from "./pages/try.js";
import { User } from "./pages/user.js";

const PAGES = {
  overview: { title: "Overview", page: Overview, icon: "M4 19V9m6 10V5m6 14v-7m4 7H2" },
  try: { title: "Try it", page: Try, icon: "M5 4l14 8-6 2-2 6z" },
  user: { title: "User", page: User, icon: "M12 11a4 4 0 100-8 4 4 0 000 8zm-8 10c1-5 4-7 8-7s7 2 8 7" },
  map: { title: "Map", page: MapPage, icon: "M6 7h.01M17 5h.01M12 12h.01M7 17h.01M18 16h.01M3 3h18v18H3z" },
  items: { title: "Items", page: Items, icon: "M4 5h7v6H4zm9 0h7v6h-7zM4 13h7v6H4zm9 0h7v6h-7z" },
  "dead-letters": { title: "Dead letters", page: DeadLetters, icon: "M3 6h18v12H3zm0 0l9 7 9-7" },
  costs: { title: "Costs", page: Costs, icon: "M12 3v18m4-14c-1-2-7-2.500-7 1s7 2 7 6-6 3.500-8 1" },
};
const THEMES = { auto: "System", light: "Light", dark: "Dark" };
const HEALTH_MS = 5_000;

const theme = kept("localStorage", "recsvc.theme", "auto");

function choose(value) {
  theme.set(value);
  globalThis.paintTheme(value); // of theme.js
}

function App() {
  const here = route.use(), wanted = keyWanted.use(), name = subject.use();
  const { title, page } = Object.hasOwn(PAGES, here.page) ? PAGES[here.page] : { title: "Not found", page: NotFound };
  const main = useRef(), before = useRef(here);
  useEffect(() => { document.title = [name, title, "recsvc"].filter(Boolean).join(" · "); }, [name, title]);
  useEffect(() => {
    const { page: was } = before.current, moved = before.current !== here;
    before.current = here;
    if (was !== here.page) scrollTo(0, 0);
    if (was !== here.page || moved && document.activeElement === document.body) main.current.focus({ preventScroll: true }); // a reader is told
  }, [here]);
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>To the page</a>
    <${Navigation} page=${here.page} />
    <main id="main" tabindex="-1" ref=${main}>
      ${wanted === null ? html`<${Guarded} key=${here.page} here=${here} page=${page} />` : html`<${KeyForm} reason=${wanted} />`}
    </main>`;
}

/** A page; or what broke it, until one goes elsewhere. */
function Guarded({ here, page: Page }) {
  const [error, reset] = useErrorBoundary((broken) => console.error(broken));
  useEffect(() => { if (error) reset(); }, [here]);
  if (!error) return html`<${Page} />`;
  return html`
    <h1>This page broke</h1>
    <div class="notice bad row between"><span role="alert">${String(error)}</span><button onClick=${reset}>Try again</button></div>
    <p class="muted">The rest of the console goes on, and so does the service.</p>`;
}

function Navigation({ page }) {
  const pages = useRef(), [more, setMore] = useState("");
  const look = () => {
    const { scrollLeft: before, scrollWidth, clientWidth } = pages.current, after = scrollWidth - clientWidth - before;
    setMore([before > 1 && "before", after > 1 && "after"].filter(Boolean).join(" "));
  };
  useEffect(() => {
    const watch = new ResizeObserver(look);
    watch.observe(pages.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => pages.current.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [page]);
  return html`
    <header class="side">
      <a class="brand" href=${href("overview")}><img src="console/icon.svg" alt="" width="28" height="28" />recsvc</a>
      <nav aria-label="Pages" ref=${pages} data-more=${more} onScroll=${look}>
        ${Object.entries(PAGES).map(([name, one]) => html`
          <a href=${href(name)} aria-current=${name === page ? "page" : null}>
            <svg viewBox="0 0 24 24" aria-hidden="true"><path d=${one.icon} /></svg>${one.title}
          </a>`)}
      </nav>
      <div class="foot">
        <${Health} />
        <label><span class="hidden">Colours</span>
          <select value=${theme.use()} onChange=${(e) => choose(e.target.value)}>
            ${Object.entries(THEMES).map(([name, text]) => html`<option value=${name}>${text}</option>`)}
          </select>
        </label>
        <a href="docs">API</a>
        ${apiKey.use() && html`<button class="link" onClick=${() => { apiKey.set(""); location.reload(); }}>Forget the key</button>`}
      </div>
    </header>`;
}

/** How the service is, by name: a colour, and what a reader is told when it has become so. */
const STATES = {
  looking: ["idle", ""],
  away: ["bad", "The service is not answering."],
  unready: ["warn", "The service is not ready."],
  degraded: ["warn", "The service is ready; something in it is not well."],
  ready: ["good", "The service is ready again."],
};

function Health() {
  const { data, error } = useLoad((signal) => get("/readyz", {}, { signal }), [], { every: HEALTH_MS });
  const live = connection.use(), wasIll = useRef(false);
  const ill = Object.values(data?.parts ?? {}).filter((state) => state && state !== "ok").length;
  const [state, text] = error ? ["away", "not answering"]
    : !data ? ["looking", "looking"]
    : !data.ready ? ["unready", "not ready"]
    : ill ? ["degraded", `ready, ${ill} ${ill === 1 ? "part" : "parts"} degraded`]
    : ["ready", live === "open" ? "ready, live" : "ready"];
  const [kind, told] = STATES[state];
  wasIll.current ||= kind === "bad" || kind === "warn";
  return html`
    <a class=${`health ${kind}`} href=${href("overview")} title=${text}><span>${text}</span></a>
    <span class="hidden" role="status">${wasIll.current ? told : ""}</span>`;
}

function KeyForm({ reason }) {
  const field = useRef();
  useEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    apiKey.set(field.current.value.trim());
    keyWanted.set(null);
  };
  return html`
    <form class="card narrow" onSubmit=${submit}>
      <h1>API key</h1>
      <p role="alert">${reason} Give one with the scopes <code>read</code>, <code>write</code> and <code>admin</code>;
        it stays in this tab. <code>recsvc keys create</code> makes one.</p>
      <label>Key <input ref=${field} type="password" autocomplete="off" required /></label>
      <button class="main">Go on</button>
    </form>`;
}

const NotFound = () => html`<h1>There is no such page</h1><p><a href=${href("overview")}>To the overview</a></p>`;

const app = document.getElementById("app");
app.replaceChildren();
render(html`<${App} />`, app);
