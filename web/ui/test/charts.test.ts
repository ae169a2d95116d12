import { expect, test } from "vitest";
import { charts, onePerDevice, selectorOf, windowOf } from "../src/pages/home/charts";

const line = (device: string, mountpoint: string, value: number) => ({ key: device + mountpoint, name: mountpoint, labels: { device, mountpoint }, values: [value] });

test("a device that is mounted often is one line, the fullest first", () => {
  const out = onePerDevice({ times: [1], lines: [line("sda1", "/etc/hosts", 20), line("sda1", "/", 20), line("sdb1", "/data", 80)] });
  expect(out.lines.map((l) => l.name)).toEqual(["/data", "/"]);
});

test("no more file systems than can be told apart", () => {
  const lines = Array.from({ length: 20 }, (_, i) => line(`sd${i}`, `/m${i}`, i));
  expect(onePerDevice({ times: [1], lines }).lines).toHaveLength(8);
});

test("a machine's labels are quoted into every expression", () => {
  const selector = selectorOf({ job: "host", instance: 'a"}b', cpus: 1 });
  for (const chart of charts) {
    for (const { expr } of chart.exprs(selector, "30s")) expect(expr).toContain('job="host",instance="a\\"}b"');
  }
});

test("rates look back over four scrapes, 30 s at the least", () => {
  expect(windowOf(5)).toBe("30s");
  expect(windowOf(60)).toBe("4m");
  expect(windowOf(undefined)).toBe("30s");
});

test("devices that pass on what others carry are not counted", () => {
  const excluded = (id: string, device: string) => {
    const [first] = charts.find((c) => c.id === id)!.exprs("", "30s");
    return new RegExp(`^(?:${/device!~"([^"]*)"/.exec(first!.expr)![1]})$`).test(device);
  };
  for (const card of ["eth0", "enp3s0", "wlan0", "ens5", "en0"]) expect(excluded("network", card), card).toBe(false);
  for (const card of ["lo", "lo0", "veth12ab", "docker0", "br-9f3a", "bond0", "eth0.100", "wg0", "tun0"]) expect(excluded("network", card), card).toBe(true);
  for (const disk of ["sda", "nvme0n1", "vda", "mmcblk0", "xvda"]) expect(excluded("disk", disk), disk).toBe(false);
  for (const disk of ["dm-0", "md127", "zram0", "zd16"]) expect(excluded("disk", disk), disk).toBe(true);
});
