package manifest

import format "github.com/nilometer/nilometer/format/manifest"

// Objects returns the names of the objects that a version is read from, in
// order: the version with the whole state that it stands on, if there is one,
// and those after it. A bucket that has them has the version.
func (s *Store) Objects(c Current) []string {
	first := max(1, c.Number-c.Number%format.SnapshotEvery)
	var out []string
	for n := first; n <= c.Number; n++ {
		out = append(out, s.name(n))
	}
	return out
}
