package hostmetrics

// What both platforms report goes through these rows, so that names and units
// are written once.

// diskRow is one block device since boot. Times are in seconds.
type diskRow struct {
	device                                  string
	reads, readsMerged, readBytes           uint64
	writes, writesMerged, writtenBytes      uint64
	readSeconds, writeSeconds               float64
	ioNow                                   uint64
	ioSeconds, ioWeightedSeconds            float64
	discards, discardsMerged, discardSector uint64
	discardSeconds                          float64
	flushes                                 uint64
	flushSeconds                            float64
	fields                                  int // how many of the kernel's fields there are
}

// The counts of fields of /proc/diskstats with discards and with flushes.
const (
	diskFieldsDiscard = 18
	diskFieldsFlush   = 20
)

func writeDisks(w *writer, rows []diskRow) {
	for _, f := range []struct {
		name, help string
		value      func(r *diskRow) float64
		fields     int
		kind       string
	}{
		{"node_disk_reads_completed_total", "Reads completed.", func(r *diskRow) float64 { return float64(r.reads) }, 0, counter},
		{"node_disk_reads_merged_total", "Reads merged.", func(r *diskRow) float64 { return float64(r.readsMerged) }, 0, counter},
		{"node_disk_read_bytes_total", "Bytes read.", func(r *diskRow) float64 { return float64(r.readBytes) }, 0, counter},
		{"node_disk_read_time_seconds_total", "Seconds spent by all reads.", func(r *diskRow) float64 { return r.readSeconds }, 0, counter},
		{"node_disk_writes_completed_total", "Writes completed.", func(r *diskRow) float64 { return float64(r.writes) }, 0, counter},
		{"node_disk_writes_merged_total", "Writes merged.", func(r *diskRow) float64 { return float64(r.writesMerged) }, 0, counter},
		{"node_disk_written_bytes_total", "Bytes written.", func(r *diskRow) float64 { return float64(r.writtenBytes) }, 0, counter},
		{"node_disk_write_time_seconds_total", "Seconds spent by all writes.", func(r *diskRow) float64 { return r.writeSeconds }, 0, counter},
		{"node_disk_io_now", "Requests in progress.", func(r *diskRow) float64 { return float64(r.ioNow) }, 0, gauge},
		{"node_disk_io_time_seconds_total", "Seconds with a request in progress.", func(r *diskRow) float64 { return r.ioSeconds }, 0, counter},
		{"node_disk_io_time_weighted_seconds_total", "Seconds of all requests in progress.", func(r *diskRow) float64 { return r.ioWeightedSeconds }, 0, counter},
		{"node_disk_discards_completed_total", "Discards completed.", func(r *diskRow) float64 { return float64(r.discards) }, diskFieldsDiscard, counter},
		{"node_disk_discards_merged_total", "Discards merged.", func(r *diskRow) float64 { return float64(r.discardsMerged) }, diskFieldsDiscard, counter},
		{"node_disk_discarded_sectors_total", "Sectors discarded.", func(r *diskRow) float64 { return float64(r.discardSector) }, diskFieldsDiscard, counter},
		{"node_disk_discard_time_seconds_total", "Seconds spent by all discards.", func(r *diskRow) float64 { return r.discardSeconds }, diskFieldsDiscard, counter},
		{"node_disk_flush_requests_total", "Flush requests completed.", func(r *diskRow) float64 { return float64(r.flushes) }, diskFieldsFlush, counter},
		{"node_disk_flush_requests_time_seconds_total", "Seconds spent by all flush requests.", func(r *diskRow) float64 { return r.flushSeconds }, diskFieldsFlush, counter},
	} {
		begun := false
		for i := range rows {
			if rows[i].fields < f.fields {
				continue
			}
			if !begun {
				w.family(f.name, f.kind, f.help)
				begun = true
			}
			w.float(f.value(&rows[i]), "device", rows[i].device)
		}
	}
}

// networkRow is one network device since boot.
type networkRow struct {
	device         string
	rx, tx         [8]uint64
	rxHead, txHead int // how many of the columns there are
}

// The columns of networkRow, as in /proc/net/dev.
var (
	receiveColumns  = [...]string{"bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"}
	transmitColumns = [...]string{"bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"}
)

func writeNetworks(w *writer, rows []networkRow) {
	write := func(direction, column string, value func(r *networkRow) (uint64, bool)) {
		begun := false
		for i := range rows {
			v, is := value(&rows[i])
			if !is {
				continue
			}
			if !begun {
				w.family("node_network_"+direction+"_"+column+"_total", counter, "Network device statistic "+direction+"_"+column+".")
				begun = true
			}
			w.uint(v, "device", rows[i].device)
		}
	}
	for i, column := range receiveColumns {
		write("receive", column, func(r *networkRow) (uint64, bool) { return r.rx[i], i < r.rxHead })
	}
	for i, column := range transmitColumns {
		write("transmit", column, func(r *networkRow) (uint64, bool) { return r.tx[i], i < r.txHead })
	}
}

// mountRow is one mounted file system.
type mountRow struct {
	device, kind, point string
	readOnly, failed    bool
	size, free, avail   uint64 // bytes
	files, filesFree    uint64
}

func writeMounts(w *writer, rows []mountRow) {
	write := func(name, help string, value func(r *mountRow) uint64, always bool) {
		begun := false
		for i := range rows {
			r := &rows[i]
			if r.failed && !always {
				continue
			}
			if !begun {
				w.family(name, gauge, help)
				begun = true
			}
			w.uint(value(r), "device", r.device, "fstype", r.kind, "mountpoint", r.point)
		}
	}
	one := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	write("node_filesystem_size_bytes", "Size.", func(r *mountRow) uint64 { return r.size }, false)
	write("node_filesystem_free_bytes", "Free space.", func(r *mountRow) uint64 { return r.free }, false)
	write("node_filesystem_avail_bytes", "Space available to users.", func(r *mountRow) uint64 { return r.avail }, false)
	write("node_filesystem_files", "File nodes.", func(r *mountRow) uint64 { return r.files }, false)
	write("node_filesystem_files_free", "Free file nodes.", func(r *mountRow) uint64 { return r.filesFree }, false)
	write("node_filesystem_readonly", "Whether it is read-only.", func(r *mountRow) uint64 { return one(r.readOnly) }, false)
	write("node_filesystem_device_error", "Whether its statistics could not be read.", func(r *mountRow) uint64 { return one(r.failed) }, true)
}

// cpuRow is one processor's seconds since boot, by mode.
type cpuRow struct {
	cpu       string
	seconds   [8]float64
	guest     [2]float64 // user, nice
	withGuest bool
}

var cpuModes = [...]string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"}

func writeCPUs(w *writer, rows []cpuRow, modes int) {
	w.family("node_cpu_seconds_total", counter, "Seconds the CPUs spent in each mode.")
	for i := range rows {
		for m, mode := range cpuModes {
			if modes&(1<<m) != 0 {
				w.float(rows[i].seconds[m], "cpu", rows[i].cpu, "mode", mode)
			}
		}
	}
	begun := false
	for i := range rows {
		if !rows[i].withGuest {
			continue
		}
		if !begun {
			w.family("node_cpu_guest_seconds_total", counter, "Seconds the CPUs spent in guests (VMs) for each mode.")
			begun = true
		}
		w.float(rows[i].guest[1], "cpu", rows[i].cpu, "mode", "nice")
		w.float(rows[i].guest[0], "cpu", rows[i].cpu, "mode", "user")
	}
}

func writeLoad(w *writer, one, five, fifteen float64) {
	w.family("node_load1", gauge, "1m load average.")
	w.float(one)
	w.family("node_load5", gauge, "5m load average.")
	w.float(five)
	w.family("node_load15", gauge, "15m load average.")
	w.float(fifteen)
}

func writeBootTime(w *writer, seconds uint64) {
	w.family("node_boot_time_seconds", gauge, "Node boot time, in seconds since the Unix epoch.")
	w.uint(seconds)
}
