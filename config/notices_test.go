package config_test

import (
	"strings"
	"testing"

	"github.com/nilometer/nilometer/config"
)

// TestNotices: what is valid and not carried out is named with its line.
func TestNotices(t *testing.T) {
	c, err := config.Parse([]byte(`
runtime: {gogc: 50, log_level: warn}
remote_write:
- url: http://user:secret@a/push
- url: http://b/push
remote_read:
- url: http://c/read
tracing: {endpoint: d:4317}
otlp: {}
storage:
  exemplars: {max_exemplars: 5}
`), "f.yml")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range c.Notices() {
		text, _, _ := strings.Cut(n.Error(), ":"+" this")
		if strings.Contains(n.Error(), "secret") {
			t.Error("a password is told: ", n)
		}
		if n.Loses {
			text += " LOSES"
		}
		got = append(got, text)
	}
	want := []string{
		"f.yml:4: remote_write[0] LOSES", "f.yml:5: remote_write[1] LOSES", "f.yml:7: remote_read[0] LOSES", "f.yml:9: otlp LOSES", "f.yml:8: tracing LOSES",
		"f.yml:2: runtime.log_level: not read: --log.level sets the level of the log",
		"f.yml:11: storage.exemplars: not read: the newest 100,000 exemplars of a tenant are kept",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if n := config.Defaults().Notices(); len(n) > 0 {
		t.Error("the defaults have notices: ", n)
	}
}
