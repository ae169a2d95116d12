import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { Icon, type IconName } from "./components/Icon";
import { Link } from "./components/Link";
import { ThemeButton } from "./components/ThemeButton";
import { prefix } from "./page";
import { AlertsPage } from "./pages/alerts/AlertsPage";
import { CardinalityPage } from "./pages/cardinality/CardinalityPage";
import { HomePage } from "./pages/home/HomePage";
import { QueryPage } from "./pages/query/QueryPage";
import { StatusPage } from "./pages/status/StatusPage";
import { TargetsPage } from "./pages/targets/TargetsPage";
import { place } from "./router";

interface Route {
  path: string;
  title: string;
  icon: IconName;
  page: ComponentType;
}

const routes: Route[] = [
  { path: "/", title: "Home", icon: "home", page: HomePage },
  { path: "/query", title: "Query", icon: "query", page: QueryPage },
  { path: "/targets", title: "Targets", icon: "targets", page: TargetsPage },
  { path: "/alerts", title: "Alerts", icon: "alerts", page: AlertsPage },
  { path: "/cardinality", title: "Cardinality", icon: "cardinality", page: CardinalityPage },
  { path: "/status", title: "Status", icon: "status", page: StatusPage },
];

// Addresses that Prometheus' links have.
const aliases: Record<string, string> = { "/graph": "/query", "/rules": "/alerts", "/index.html": "/", "/tsdb-status": "/cardinality" };

export function App() {
  const path = aliases[place.value.path] ?? place.value.path;
  const route = routes.find((r) => r.path === path);
  useEffect(() => {
    document.title = route ? `${route.title} – Nilometer` : "Nilometer";
  }, [route]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>Skip to content</a>
      <header class="bar">
        <div class="bar-inner">
          <Link to="/" class="brand">
            <img src={`${prefix}/favicon.svg`} alt="" />
            Nilometer
          </Link>
          <nav aria-label="pages">
            {routes.map((r) => (
              <Link key={r.path} to={r.path} current={r === route}>
                <Icon name={r.icon} />
                {r.title}
              </Link>
            ))}
          </nav>
          <ThemeButton />
        </div>
      </header>
      <main id="main" tabIndex={-1}>{route ? <route.page /> : <Nowhere path={path} />}</main>
    </>
  );
}

/** Moves the focus itself: a plain "#main" would be an address of <base>. */
function skip(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Nowhere({ path }: { path: string }) {
  return (
    <section class="card empty">
      <h1>No such page</h1>
      <p>There is nothing at <code>{path}</code>. <Link to="/">Go to the first page</Link></p>
    </section>
  );
}
