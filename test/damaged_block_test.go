//go:build e2e

package test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedBlocksAreSetAside starts the server on data whose blocks are
// damaged: it goes on with all the rest, and an answer that a block should have
// had a part in names it.
func TestDamagedBlocksAreSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sound := soundData(t, dir)
	for name, damage := range map[string]func(*testing.T, string){
		"garbage": overwrite("store/block/*/*/index", "garbage"),
		"gone": func(t *testing.T, data string) {
			for _, b := range glob(t, data, "store/block/*/*/index") {
				if err := os.Remove(b); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			copyTree(t, sound, data)
			blocks := glob(t, data, "store/block/*/*")
			damage(t, data)
			s := start(t, data, write(t, dir, name+".yml", "nilometer: {storage: {block_range: 1s}}\n"))
			s.waitReady()
			if n := s.metric("nilometer_tsdb_blocks_set_aside", ""); n != float64(len(blocks)) {
				t.Errorf("%v blocks are set aside, want %d", n, len(blocks))
			}
			status, body := s.get("/api/v1/query", url.Values{"query": {`max_over_time({__name__=~".+"}[1h])`}})
			if status != 200 || !strings.Contains(body, "warnings") || !strings.Contains(body, filepath.Base(blocks[0])) {
				t.Errorf("status %d, %s", status, body)
			}
			s.stop()
		})
	}
}
