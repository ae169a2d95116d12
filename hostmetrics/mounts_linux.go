package hostmetrics

import (
	"context"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Mount points and types that node_exporter leaves out by default.
var (
	mountExcluded = regexp.MustCompile(`^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`)
	kindExcluded  = regexp.MustCompile(`^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|` +
		`overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$`)
)

// statWait is how long a file system may take to answer: one on a server that
// is gone never does, and must not hold up the others.
const statWait = time.Second

// mountReader asks mounted file systems for their statistics.
type mountReader struct {
	fs   procfs.FS
	rows []mountRow

	mu    sync.Mutex      // guards stuck
	stuck map[string]bool // mount points whose last question is not answered
}

func newMountReader(fs procfs.FS) *mountReader {
	return &mountReader{fs: fs, stuck: map[string]bool{}}
}

func (m *mountReader) collect(ctx context.Context, w *writer) error {
	mounts, err := m.fs.GetMounts()
	if err != nil {
		return err
	}
	m.rows = m.rows[:0]
	seen := map[string]bool{}
	for _, mount := range mounts {
		// The device decides with the point: what lies over another mount hides it.
		if mountExcluded.MatchString(mount.MountPoint) || kindExcluded.MatchString(mount.FSType) || seen[mount.Source+"\x00"+mount.MountPoint] {
			continue
		}
		seen[mount.Source+"\x00"+mount.MountPoint] = true
		_, readOnly := mount.Options["ro"]
		if _, super := mount.SuperOptions["ro"]; super {
			readOnly = true
		}
		row := mountRow{device: mount.Source, kind: mount.FSType, point: mount.MountPoint, readOnly: readOnly}
		if s, ok := m.stat(ctx, mount.MountPoint); ok {
			size := uint64(s.Bsize)
			row.size, row.free, row.avail = s.Blocks*size, s.Bfree*size, s.Bavail*size
			row.files, row.filesFree = s.Files, s.Ffree
		} else {
			row.failed = true
		}
		m.rows = append(m.rows, row)
	}
	writeMounts(w, m.rows)
	return nil
}

// stat asks one file system. The question runs in a goroutine of its own, at
// most one for each mount point, which ends when the kernel answers.
func (m *mountReader) stat(ctx context.Context, point string) (unix.Statfs_t, bool) {
	m.mu.Lock()
	waiting := m.stuck[point]
	m.stuck[point] = true
	m.mu.Unlock()
	if waiting {
		return unix.Statfs_t{}, false
	}
	type answer struct {
		stat unix.Statfs_t
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = unix.Statfs(point, &a.stat)
		m.mu.Lock()
		delete(m.stuck, point)
		m.mu.Unlock()
		answers <- a
	}()
	timer := time.NewTimer(statWait)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.stat, a.err == nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return unix.Statfs_t{}, false
}
