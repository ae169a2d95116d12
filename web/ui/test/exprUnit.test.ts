import { expect, test } from "vitest";
import { unitOf } from "../src/model/exprUnit";
import type { Unit } from "../src/model/units";

const cases: [string, Unit][] = [
  ["node_memory_MemAvailable_bytes", "bytes"],
  ['node_filesystem_avail_bytes{mountpoint="/a*b"} > 100', "bytes"],
  ["node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes", "bytes"],
  ["sum by (device) (rate(node_disk_read_bytes_total[5m]))", "bytes/s"],
  ["increase(node_disk_read_bytes_total[5m])", "bytes"],
  ["scrape_duration_seconds", "seconds"],
  ["max_over_time(scrape_duration_seconds[1h:5m]) # a * b", "seconds"],
  ["histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))", "seconds"],
  ["rate(process_cpu_seconds_total[1m])", "number"],
  ["process_start_time_seconds", "number"],
  ["node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "number"],
  ["100 * node_memory_MemAvailable_bytes", "number"],
  ["count(node_filesystem_avail_bytes)", "number"],
  ["count by (job) (node_filesystem_avail_bytes)", "number"],
  ["node_memory_MemFree_bytes > bool 5", "number"],
  ["scrape_duration_seconds or node_memory_MemFree_bytes", "number"],
  ["topk(3, node_memory_MemFree_bytes offset 5m)", "bytes"],
  ["node_load1 @ 1795401234.5", "number"],
  ["1e3", "number"],
  ["up", "number"],
  ["sum(", "number"],
  ["", "number"],
];

test.each(cases)("%s is in %s", (expr, unit) => {
  expect(unitOf(expr)).toBe(unit);
});
