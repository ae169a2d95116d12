package hostmetrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"golang.org/x/sys/unix"
)

// linux reads the kernel's files below proc.
type linux struct {
	proc   string
	fs     procfs.FS
	block  blockdevice.FS
	mounts *mountReader

	cpus     []cpuRow // scratch, as all that follows
	disks    []diskRow
	networks []networkRow
}

// Devices that node_exporter leaves out by default: RAM disks, loop devices
// and partitions.
var diskExcluded = regexp.MustCompile(`^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`)

func platformParts(o Options) ([]part, error) {
	if o.ProcPath == "" {
		o.ProcPath = procfs.DefaultMountPoint
	}
	if o.SysPath == "" {
		o.SysPath = "/sys"
	}
	l := &linux{proc: o.ProcPath}
	var err error
	if l.fs, err = procfs.NewFS(o.ProcPath); err != nil {
		return nil, err
	}
	if l.block, err = blockdevice.NewFS(o.ProcPath, o.SysPath); err != nil {
		return nil, err
	}
	l.mounts = newMountReader(l.fs)
	return []part{
		{"stat", l.stat},
		{"meminfo", func(_ context.Context, w *writer) error { return l.meminfo(w) }},
		{"loadavg", l.loadavg},
		{"diskstats", l.diskstats},
		{"netdev", l.netdev},
		{"filesystem", l.mounts.collect},
		{"uname", uname},
		{"pressure", l.pressure},
		{"filefd", func(_ context.Context, w *writer) error { return l.filefd(w) }},
		{"entropy", l.entropy},
		{"vmstat", func(_ context.Context, w *writer) error { return l.vmstat(w) }},
		{"netstat", func(_ context.Context, w *writer) error { return l.netstat(w) }},
		{"sockstat", func(_ context.Context, w *writer) error { return l.sockstat(w) }},
	}, nil
}

// stat reports CPU seconds and what else /proc/stat has.
func (l *linux) stat(_ context.Context, w *writer) error {
	s, err := l.fs.Stat()
	if err != nil {
		return err
	}
	l.cpus = l.cpus[:0]
	for id, c := range s.CPU {
		l.cpus = append(l.cpus, cpuRow{
			cpu:     strconv.FormatInt(id, 10),
			seconds: [8]float64{c.Idle, c.Iowait, c.IRQ, c.Nice, c.SoftIRQ, c.Steal, c.System, c.User},
			guest:   [2]float64{c.Guest, c.GuestNice}, withGuest: true,
		})
	}
	slices.SortFunc(l.cpus, func(a, b cpuRow) int {
		if n := len(a.cpu) - len(b.cpu); n != 0 {
			return n
		}
		if a.cpu < b.cpu {
			return -1
		}
		return 1
	})
	writeCPUs(w, l.cpus, 1<<len(cpuModes)-1)
	writeBootTime(w, s.BootTime)
	for _, f := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"node_intr_total", counter, "Interrupts serviced.", s.IRQTotal},
		{"node_context_switches_total", counter, "Context switches.", s.ContextSwitches},
		{"node_forks_total", counter, "Forks.", s.ProcessCreated},
		{"node_procs_running", gauge, "Processes in runnable state.", s.ProcessesRunning},
		{"node_procs_blocked", gauge, "Processes blocked waiting for I/O to complete.", s.ProcessesBlocked},
	} {
		w.family(f.name, f.kind, f.help)
		w.uint(f.value)
	}
	return nil
}

func (l *linux) loadavg(_ context.Context, w *writer) error {
	load, err := l.fs.LoadAvg()
	if err != nil {
		return err
	}
	writeLoad(w, load.Load1, load.Load5, load.Load15)
	return nil
}

// sectorBytes is the unit of /proc/diskstats, whatever the device's sector is.
const sectorBytes = 512

func (l *linux) diskstats(_ context.Context, w *writer) error {
	stats, err := l.block.ProcDiskstats()
	if err != nil {
		return err
	}
	seconds := func(ms uint64) float64 { return float64(ms) / 1000 }
	l.disks = l.disks[:0]
	for _, s := range stats {
		if diskExcluded.MatchString(s.DeviceName) {
			continue
		}
		l.disks = append(l.disks, diskRow{
			device: s.DeviceName,
			reads:  s.ReadIOs, readsMerged: s.ReadMerges, readBytes: s.ReadSectors * sectorBytes,
			writes: s.WriteIOs, writesMerged: s.WriteMerges, writtenBytes: s.WriteSectors * sectorBytes,
			readSeconds: seconds(s.ReadTicks), writeSeconds: seconds(s.WriteTicks),
			ioNow: s.IOsInProgress, ioSeconds: seconds(s.IOsTotalTicks), ioWeightedSeconds: seconds(s.WeightedIOTicks),
			discards: s.DiscardIOs, discardsMerged: s.DiscardMerges, discardSector: s.DiscardSectors, discardSeconds: seconds(s.DiscardTicks),
			flushes: s.FlushRequestsCompleted, flushSeconds: seconds(s.TimeSpentFlushing),
			fields: s.IoStatsCount,
		})
	}
	writeDisks(w, l.disks)
	return nil
}

func (l *linux) netdev(_ context.Context, w *writer) error {
	devices, err := l.fs.NetDev()
	if err != nil {
		return err
	}
	l.networks = l.networks[:0]
	for name, d := range devices {
		l.networks = append(l.networks, networkRow{
			device: name, rxHead: len(receiveColumns), txHead: len(transmitColumns),
			rx: [8]uint64{d.RxBytes, d.RxPackets, d.RxErrors, d.RxDropped, d.RxFIFO, d.RxFrame, d.RxCompressed, d.RxMulticast},
			tx: [8]uint64{d.TxBytes, d.TxPackets, d.TxErrors, d.TxDropped, d.TxFIFO, d.TxCollisions, d.TxCarrier, d.TxCompressed},
		})
	}
	slices.SortFunc(l.networks, func(a, b networkRow) int {
		if a.device < b.device {
			return -1
		}
		return 1
	})
	writeNetworks(w, l.networks)
	return nil
}

func uname(_ context.Context, w *writer) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	w.family("node_uname_info", gauge, "System information of the uname system call.")
	w.uint(1,
		"domainname", unix.ByteSliceToString(u.Domainname[:]), "machine", unix.ByteSliceToString(u.Machine[:]),
		"nodename", unix.ByteSliceToString(u.Nodename[:]), "release", unix.ByteSliceToString(u.Release[:]),
		"sysname", unix.ByteSliceToString(u.Sysname[:]), "version", unix.ByteSliceToString(u.Version[:]))
	return nil
}

// pressure reports stall times. A kernel without them is no failure.
func (l *linux) pressure(_ context.Context, w *writer) error {
	total := func(name, help string, line *procfs.PSILine) {
		if line != nil {
			w.family(name, counter, help)
			w.float(float64(line.Total) / 1e6)
		}
	}
	for _, resource := range []string{"cpu", "io", "memory"} {
		s, err := l.fs.PSIStatsForResource(resource)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		total("node_pressure_"+resource+"_waiting_seconds_total", "Seconds that processes waited for "+resource+".", s.Some)
		if resource != "cpu" {
			total("node_pressure_"+resource+"_stalled_seconds_total", "Seconds that no process could make progress for "+resource+".", s.Full)
		}
	}
	return nil
}

func (l *linux) entropy(_ context.Context, w *writer) error {
	r, err := l.fs.KernelRandom()
	if err != nil {
		return err
	}
	if r.EntropyAvaliable != nil {
		w.family("node_entropy_available_bits", gauge, "Bits of available entropy.")
		w.uint(*r.EntropyAvaliable)
	}
	if r.PoolSize != nil {
		w.family("node_entropy_pool_size_bits", gauge, "Bits of the entropy pool.")
		w.uint(*r.PoolSize)
	}
	return nil
}
