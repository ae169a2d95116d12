// What Home shows of a machine: expressions over node_exporter's names.

import type { Labels } from "../../api/types";
import { quote } from "../../model/labels";
import { latest, type Lines } from "../../model/lines";
import { formatDuration } from "../../model/time";
import { formatValue, type Unit } from "../../model/units";

/** The machine looked at. */
export interface Machine {
  job: string;
  instance: string;
  cpus: number;
}

export interface Headline {
  big: string;
  beside: string;
}

export interface Chart {
  id: string;
  title: string;
  unit: Unit;
  filled?: boolean;
  min?: number;
  max?: number;
  /** The expressions whose lines the graph joins; rates look back over the window. */
  exprs: (selector: string, window: string) => { expr: string; name: string | ((labels: Labels) => string) }[];
  /** Chooses and orders lines. */
  arrange?: (data: Lines) => Lines;
  headline: (data: Lines, machine: Machine) => Headline;
}

/** The matchers of a machine, without braces. */
export function selectorOf(m: Machine): string {
  return `job=${quote(m.job)},instance=${quote(m.instance)}`;
}

const windowLeast = 30;

/** What rates look back over: 30 s, or four scrapes where those are rarer. */
export function windowOf(intervalSeconds: number | undefined): string {
  return formatDuration(Math.max(windowLeast, 4 * (intervalSeconds ?? 0)));
}

const linesMax = 8;

function valueOf(data: Lines, name: string): number | null {
  return latest(data.lines.find((l) => l.name === name));
}

function pair(first: string, second: string, unit: Unit): Chart["headline"] {
  return (data) => ({
    big: formatValue(valueOf(data, first), unit),
    beside: `${first} · ${formatValue(valueOf(data, second), unit)} ${second}`,
  });
}

// File systems in memory and images are full by design.
const realFilesystems = 'fstype!~"tmpfs|devtmpfs|ramfs|squashfs|iso9660|efivarfs"';

// Devices that pass on what others carry (volumes over disks; bridges, tunnels and
// containers' ends over cards) would count a byte twice.
const ownDisks = 'device!~"(dm-|drbd|md|zd|zram)[0-9].*"';
const ownCards = 'device!~"lo[0-9]*|(bond|br-|bridge|cali|cni|docker|flannel|ifb|lxc|podman|tap|tun|utun|veth|virbr|vnet|wg).*|.+[.][0-9]+"';

// What CPUs are busy with, in the order of the graph; interrupts are too short to see.
const cpuModes = ["user", "system", "nice", "iowait", "steal"];

export const charts: Chart[] = [
  {
    // Shares of all modes, not of the time: a rate whose window is not yet full
    // is too low, and too low an idle would make a young server look busy.
    id: "cpu",
    title: "CPU",
    unit: "percent",
    filled: true,
    min: 0,
    max: 100,
    exprs: (s, w) => [
      { expr: `100 * (1 - sum(rate(node_cpu_seconds_total{${s},mode="idle"}[${w}])) / sum(rate(node_cpu_seconds_total{${s}}[${w}])))`, name: "busy" },
      {
        expr: `100 * sum by (mode) (rate(node_cpu_seconds_total{${s},mode=~"${cpuModes.join("|")}"}[${w}])) / on () group_left () sum(rate(node_cpu_seconds_total{${s}}[${w}]))`,
        name: (l) => l["mode"] ?? "",
      },
    ],
    arrange: inOrder,
    headline: (data, m) => ({
      big: formatValue(valueOf(data, "busy"), "percent"),
      beside: `busy, of ${m.cpus} ${m.cpus === 1 ? "CPU" : "CPUs"}`,
    }),
  },
  {
    id: "memory",
    title: "Memory",
    unit: "bytes",
    filled: true,
    min: 0,
    exprs: (s) => [
      { expr: `node_memory_MemTotal_bytes{${s}} - node_memory_MemAvailable_bytes{${s}}`, name: "used" },
      { expr: `node_memory_MemTotal_bytes{${s}}`, name: "total" },
    ],
    headline: (data) => {
      const [used, total] = [valueOf(data, "used"), valueOf(data, "total")];
      const share = used !== null && total ? ` (${formatValue((100 * used) / total, "percent")})` : "";
      return { big: formatValue(used, "bytes"), beside: `used of ${formatValue(total, "bytes")}${share}` };
    },
  },
  {
    id: "load",
    title: "Load",
    unit: "number",
    min: 0,
    exprs: (s) => [
      { expr: `node_load1{${s}}`, name: "1 min" },
      { expr: `node_load5{${s}}`, name: "5 min" },
      { expr: `node_load15{${s}}`, name: "15 min" },
    ],
    headline: (data, m) => ({
      big: formatValue(valueOf(data, "1 min")),
      beside: `runnable tasks, 1 min; ${m.cpus} ${m.cpus === 1 ? "CPU" : "CPUs"}`,
    }),
  },
  {
    id: "disk",
    title: "Disk I/O",
    unit: "bytes/s",
    filled: true,
    min: 0,
    exprs: (s, w) => [
      { expr: `sum(rate(node_disk_read_bytes_total{${s},${ownDisks}}[${w}]))`, name: "read" },
      { expr: `sum(rate(node_disk_written_bytes_total{${s},${ownDisks}}[${w}]))`, name: "written" },
    ],
    headline: pair("read", "written", "bytes/s"),
  },
  {
    id: "network",
    title: "Network",
    unit: "bytes/s",
    filled: true,
    min: 0,
    exprs: (s, w) => [
      { expr: `sum(rate(node_network_receive_bytes_total{${s},${ownCards}}[${w}]))`, name: "received" },
      { expr: `sum(rate(node_network_transmit_bytes_total{${s},${ownCards}}[${w}]))`, name: "sent" },
    ],
    headline: pair("received", "sent", "bytes/s"),
  },
  {
    id: "filesystem",
    title: "File systems",
    unit: "percent",
    min: 0,
    max: 100,
    exprs: (s) => [
      {
        expr: `100 * (1 - node_filesystem_avail_bytes{${s},${realFilesystems}} / node_filesystem_size_bytes{${s},${realFilesystems}})`,
        name: (l) => l["mountpoint"] ?? "",
      },
    ],
    arrange: onePerDevice,
    headline: (data) => {
      const fullest = data.lines[0];
      return { big: formatValue(latest(fullest), "percent"), beside: fullest ? `used of ${fullest.name}, the fullest` : "" };
    },
  },
];

/** Lines in the order of CPU modes, "busy" first: a mode keeps its colour. */
function inOrder(data: Lines): Lines {
  const rank = (name: string) => cpuModes.indexOf(name);
  return { times: data.times, lines: data.lines.toSorted((a, b) => rank(a.name) - rank(b.name)) };
}

/**
 * One line for each device, however often it is mounted, under its shortest
 * mount point; the fullest first, at most linesMax.
 */
export function onePerDevice(data: Lines): Lines {
  const byDevice = new Map<string, Lines["lines"][number]>();
  for (const line of data.lines) {
    const device = line.labels["device"] ?? line.key;
    const known = byDevice.get(device);
    if (!known || line.name.length < known.name.length) byDevice.set(device, line);
  }
  const lines = [...byDevice.values()].sort((a, b) => (latest(b) ?? -1) - (latest(a) ?? -1)).slice(0, linesMax);
  return { times: data.times, lines };
}
