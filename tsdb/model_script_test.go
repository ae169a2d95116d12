package tsdb_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// script is a history of a database as data: what is done, in order, with all
// times and values in it. It runs the same whoever drew it, so a failing one is
// shortened by leaving operations out, printed, and run again from a file.
type script struct {
	Settings settings
	Ops      []op
}

// settings are what a script's database is opened with.
type settings struct {
	// About says of a script that was kept what it found.
	About        string `json:"about,omitempty"`
	BlockRangeMs int64  `json:"block_range_ms"`
	RetentionMs  int64  `json:"retention_ms,omitempty"`  // 0: all is kept
	SegmentBytes int64  `json:"segment_bytes,omitempty"` // of the log; 0: the default, which no script reaches
}

// kind is what an operation does.
type kind string

// The kinds of operations. A new ability of the engine gets a kind here, its
// way of running in run.do, and its chance in draw.next.
const (
	doAppend  kind = "append"  // Rows to Group, one commit each or all in one
	doScrapes kind = "scrapes" // a run of whole scrapes, or such pushes, of Group
	doOpen    kind = "open"    // another writer opens Group
	doClose   kind = "close"   // the writer of Group ends
	doWait    kind = "wait"    // Ms go by
	doCut     kind = "cut"
	doCompact kind = "compact"
	doSeal    kind = "seal"    // what the head has sealed becomes a file
	doDelete  kind = "delete"  // what Match selects in [From, To]
	doRead    kind = "read"    // compares what Match selects in [From, To]
	doHold    kind = "hold"    // takes a view
	doRelease kind = "release" // compares what the held views have with what they had
	doRestart kind = "restart" // Count starts before it end at once
	doCrash   kind = "crash"   // the disk stops at operation At from here, and keeps by Seed
	doFault   kind = "fault"   // Count operations of the disk, or all, fail as Fault says from the At-th on, until heal
	doHeal    kind = "heal"
)

// op is one operation. Times are ms after base.
type op struct {
	Do    kind   `json:"do"`
	Group string `json:"group,omitempty"`
	// Rows are batches; Synced waits for their durability; Together is one
	// commit for all.
	Rows     []row `json:"rows,omitempty"`
	Synced   bool  `json:"synced,omitempty"`
	Together bool  `json:"together,omitempty"`
	// Cancel ends the operation's context before its n-th operation of the
	// disk, counted from 1; -1: before it begins. 0: never.
	Cancel int `json:"cancel,omitempty"`

	Ms       int64  `json:"ms,omitempty"`
	From     int64  `json:"from,omitempty"`
	To       int64  `json:"to,omitempty"`
	Match    string `json:"match,omitempty"` // a regular expression on names
	At       int    `json:"at,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	Fault    string `json:"fault,omitempty"`
	Count    int    `json:"count,omitempty"`
	Interval int64  `json:"interval,omitempty"`
	// Mixed scrapes have histograms and start timestamps, too.
	Mixed bool `json:"mixed,omitempty"`
}

// row is a batch by names.
type row struct {
	At        int64    `json:"at"`
	BodyStale bool     `json:"body_stale,omitempty"`
	Names     []string `json:"names,omitempty"`
	Values    []value  `json:"values,omitempty"`
}

func (r *row) add(name string, v float64) { r.addValue(name, value{v: v}) }

func (r *row) addValue(name string, v value) {
	r.Names, r.Values = append(r.Names, name), append(r.Values, v)
}

// String is a JSON object a line: the settings, then the operations.
func (s script) String() string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	err := enc.Encode(s.Settings)
	for _, o := range s.Ops {
		if err == nil {
			err = enc.Encode(o)
		}
	}
	if err != nil {
		return err.Error()
	}
	return out.String()
}

func parseScript(r io.Reader) (script, error) {
	var s script
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for n := 0; lines.Scan(); n++ {
		var err error
		if n == 0 {
			err = json.Unmarshal(lines.Bytes(), &s.Settings)
		} else {
			var o op
			err = json.Unmarshal(lines.Bytes(), &o)
			s.Ops = append(s.Ops, o)
		}
		if err != nil {
			return s, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return s, lines.Err()
}

// shorten leaves out what a script does not need to fail, within a number of
// attempts: halves of it, quarters, down to single operations, then rows and
// values.
func (s script) shorten(attempts int, fails func(script) bool) script {
	try := func(c script) bool {
		if attempts--; attempts < 0 || !fails(c) {
			return false
		}
		s = c
		return true
	}
	for size := max(1, len(s.Ops)/2); ; size /= 2 {
		for at := 0; at < len(s.Ops); {
			c := s
			c.Ops = append(append([]op(nil), s.Ops[:at]...), s.Ops[min(len(s.Ops), at+size):]...)
			if !try(c) {
				at += size
			}
		}
		if size <= 1 {
			break
		}
	}
	for i := range s.Ops {
		for k := len(s.Ops[i].Rows) - 1; k >= 0; k-- {
			try(s.with(i, func(o *op) { o.Rows = append(append([]row(nil), o.Rows[:k]...), o.Rows[k+1:]...) }))
		}
		for k := range s.Ops[i].Rows {
			for j := len(s.Ops[i].Rows[k].Names) - 1; j >= 0; j-- {
				try(s.with(i, func(o *op) { o.Rows = append([]row(nil), o.Rows...); o.Rows[k] = o.Rows[k].without(j) }))
			}
		}
		for s.Ops[i].Count > 1 && try(s.with(i, func(o *op) { o.Count /= 2 })) {
			continue
		}
	}
	return s
}

// with is the script with one operation changed.
func (s script) with(i int, change func(*op)) script {
	s.Ops = append([]op(nil), s.Ops...)
	change(&s.Ops[i])
	return s
}

func (r row) without(i int) row {
	r.Names = append(append([]string(nil), r.Names[:i]...), r.Names[i+1:]...)
	r.Values = append(append([]value(nil), r.Values[:i]...), r.Values[i+1:]...)
	return r
}
