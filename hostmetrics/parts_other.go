//go:build !linux

package hostmetrics

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// platformParts reads through gopsutil. Names are those of Linux, also where
// node_exporter has others on this system, so that one dashboard serves all.
func platformParts(Options) ([]part, error) {
	return []part{
		{"cpu", cpus},
		{"meminfo", memory},
		{"loadavg", loads},
		{"diskstats", disks},
		{"netdev", networks},
		{"filesystem", mounts},
		{"uname", machine},
	}, nil
}

func cpus(ctx context.Context, w *writer) error {
	times, err := cpu.TimesWithContext(ctx, true)
	if err != nil {
		return err
	}
	rows := make([]cpuRow, len(times))
	for i, t := range times {
		rows[i] = cpuRow{
			cpu:     strings.TrimPrefix(t.CPU, "cpu"),
			seconds: [8]float64{t.Idle, t.Iowait, t.Irq, t.Nice, t.Softirq, t.Steal, t.System, t.User},
		}
	}
	// idle, irq, nice, system, user: what these systems tell apart.
	writeCPUs(w, rows, 1<<0|1<<2|1<<3|1<<6|1<<7)
	return nil
}

func memory(ctx context.Context, w *writer) error {
	v, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	s, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value uint64
	}{
		{"MemTotal", v.Total},
		{"MemFree", v.Free},
		{"MemAvailable", v.Available},
		{"Active", v.Active},
		{"Inactive", v.Inactive},
		{"SwapTotal", s.Total},
		{"SwapFree", s.Free},
	} {
		w.family("node_memory_"+f.name+"_bytes", gauge, "Memory information field.")
		w.uint(f.value)
	}
	return nil
}

func loads(ctx context.Context, w *writer) error {
	l, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	writeLoad(w, l.Load1, l.Load5, l.Load15)
	return nil
}

func disks(ctx context.Context, w *writer) error {
	counters, err := disk.IOCountersWithContext(ctx)
	if err != nil {
		return err
	}
	rows := make([]diskRow, 0, len(counters))
	for _, name := range sorted(counters) {
		c := counters[name]
		rows = append(rows, diskRow{
			device: name,
			reads:  c.ReadCount, readsMerged: c.MergedReadCount, readBytes: c.ReadBytes,
			writes: c.WriteCount, writesMerged: c.MergedWriteCount, writtenBytes: c.WriteBytes,
			readSeconds: float64(c.ReadTime) / 1000, writeSeconds: float64(c.WriteTime) / 1000,
			ioNow: c.IopsInProgress, ioSeconds: float64(c.IoTime) / 1000, ioWeightedSeconds: float64(c.WeightedIO) / 1000,
		})
	}
	writeDisks(w, rows)
	return nil
}

func networks(ctx context.Context, w *writer) error {
	counters, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	rows := make([]networkRow, len(counters))
	for i, c := range counters {
		rows[i] = networkRow{
			device: c.Name, rxHead: 4, txHead: 4,
			rx: [8]uint64{c.BytesRecv, c.PacketsRecv, c.Errin, c.Dropin},
			tx: [8]uint64{c.BytesSent, c.PacketsSent, c.Errout, c.Dropout},
		}
	}
	writeNetworks(w, rows)
	return nil
}

func mounts(ctx context.Context, w *writer) error {
	partitions, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return err
	}
	rows := make([]mountRow, 0, len(partitions))
	for _, p := range partitions {
		row := mountRow{device: p.Device, kind: p.Fstype, point: p.Mountpoint}
		for _, o := range p.Opts {
			row.readOnly = row.readOnly || o == "ro"
		}
		u, err := disk.UsageWithContext(ctx, p.Mountpoint)
		if err != nil {
			row.failed = true
		} else {
			row.size, row.free, row.avail, row.files, row.filesFree = u.Total, u.Free, u.Free, u.InodesTotal, u.InodesFree
		}
		rows = append(rows, row)
	}
	writeMounts(w, rows)
	return nil
}

func machine(ctx context.Context, w *writer) error {
	h, err := host.InfoWithContext(ctx)
	if err != nil {
		return err
	}
	w.family("node_uname_info", gauge, "System information.")
	w.uint(1, "domainname", "", "machine", h.KernelArch, "nodename", h.Hostname,
		"release", h.KernelVersion, "sysname", h.OS, "version", h.Platform+" "+h.PlatformVersion)
	writeBootTime(w, h.BootTime)
	return nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
