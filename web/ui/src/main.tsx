import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/parts.css";
import "./styles/graph.css";
import "./styles/pages.css";
import { App } from "./app";

render(<App />, document.getElementById("app")!);
