package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// Retention says how long samples are kept. It may change while the database
// is open.
type Retention struct {
	// Time is the age after which blocks are dropped whole; default 30 d.
	// Negative keeps all.
	Time time.Duration
	// Bytes bounds the data directory: over it the oldest blocks of all tenants
	// go, kept ones too. 0: no bound.
	Bytes uint64
	// DiskPercent bounds the data directory to a share of its disk, over 0 to
	// 100; 0: no bound. What else is on the disk does not count.
	DiskPercent float64
	// Rules keep some series for less than Time; of several that match the
	// shortest counts. At most rulesMax.
	Rules []RetentionRule
}

// RetentionRule keeps the series that match every matcher for a time.
type RetentionRule struct {
	Matchers []*labels.Matcher
	Time     time.Duration
}

// rulesMax bounds the rules: each is asked of every block.
const rulesMax = 100

// Validate reports what is wrong, or nil. blockRange is that of the database.
func (r Retention) Validate(blockRange time.Duration) error {
	var problems []error
	if r.Time > 0 && r.Time < blockRange {
		problems = append(problems, fmt.Errorf("the retention is %s, less than the block range of %s: samples would be dropped before they are cut", r.Time, blockRange))
	}
	if r.DiskPercent < 0 || r.DiskPercent > 100 || math.IsNaN(r.DiskPercent) {
		problems = append(problems, fmt.Errorf("the retention is %v %% of the disk: 0 to 100 are allowed", r.DiskPercent))
	}
	if len(r.Rules) > rulesMax {
		problems = append(problems, fmt.Errorf("there are %d retention rules: at most %d are allowed", len(r.Rules), rulesMax))
	}
	for i, rule := range r.Rules {
		switch {
		case len(rule.Matchers) == 0:
			problems = append(problems, fmt.Errorf("retention rule %d has no matcher", i))
		case rule.Time < 2*blockRange: // the head has no more than that
			problems = append(problems, fmt.Errorf("retention rule %d keeps samples for %s: two block ranges, %s, are the least", i, rule.Time, 2*blockRange))
		case r.Time > 0 && rule.Time > r.Time:
			problems = append(problems, fmt.Errorf("retention rule %d keeps samples for %s, longer than the retention of %s: rules only shorten it", i, rule.Time, r.Time))
		}
	}
	return errors.Join(problems...)
}

// SetRetention changes the retention. Queries follow at once, files with the
// next maintenance. A Time of 0 is the default.
func (db *DB) SetRetention(r Retention) error {
	if r.Time == 0 {
		r.Time = defaultRetention
	}
	if err := r.Validate(db.opts.BlockRange); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	db.retention.Store(&r)
	for _, b := range db.opened() {
		db.memory.head(b.id).NoteChange(math.MinInt64, math.MaxInt64)
	}
	return nil
}

// Changed implements storage.Reader. What rules of the retention hide grows all
// the time: what they reach into counts as changed.
func (db *DB) Changed(id tenant.ID, after uint64, mint int64) (now uint64, from int64) {
	b, err := db.tenantBlocks(id)
	if err != nil || b == nil { // whatever it gets is a change
		return 0, math.MaxInt64
	}
	now, from = db.memory.head(id).Changed(after, mint)
	for _, r := range db.retention.Load().Rules {
		if mint <= db.now()-r.Time.Milliseconds() {
			from = mint
		}
	}
	return now, from
}

// expired returns what the retention's rules hide at a time, ms.
func (r *Retention) expired(nowMs int64) []mask.Rule {
	out := make([]mask.Rule, len(r.Rules))
	for i, x := range r.Rules {
		out[i] = mask.Rule{Matchers: x.Matchers, Hidden: part.Hidden{MinTime: math.MinInt64, MaxTime: nowMs - x.Time.Milliseconds() - 1}}
	}
	return out
}

// expiredOf returns the rules that reach into a block.
func expiredOf(rules []mask.Rule, m block.Meta) (out []mask.Rule) {
	if m.Exempt {
		return nil
	}
	for _, r := range rules {
		if r.MaxTime >= m.MinTime {
			out = append(out, r)
		}
	}
	return out
}

// expiredShare estimates which share of the blocks is older than its rules
// allow and still in their files: series times time. A block that a rule has
// passed whole and that has series of it counts as 1: it has waited enough.
func (g *generation) expiredShare(ctx context.Context, rules []mask.Rule, nowMs int64) map[ulid.ULID]float64 {
	out := map[ulid.ULID]float64{}
	for i, x := range g.blocks {
		m := x.Meta()
		for _, r := range expiredOf(rules, m) {
			set, err := g.masks[i].sets.Of(ctx, &r)
			if err != nil || set.Len() == 0 || m.Stats.Series == 0 {
				continue
			}
			if r.MaxTime >= m.MaxTime {
				out[m.ID] = 1
				continue
			}
			from := m.MinTime
			if m.ExpiredAt != 0 { // what was too old then is gone
				from = max(from, r.MaxTime-(nowMs-m.ExpiredAt))
			}
			times := float64(r.MaxTime-from+1) / float64(m.MaxTime-m.MinTime+1)
			out[m.ID] += max(0, times) * float64(set.Len()) / float64(m.Stats.Series)
		}
	}
	return out
}

// blockBudgets returns how many bytes of blocks each tenant may keep, by the
// order of db.opened, so that the oldest blocks of all go first; nil without a
// bound.
func (db *DB) blockBudgets(tenants []*blocks) ([]uint64, error) {
	r := db.retention.Load()
	limit := uint64(math.MaxUint64)
	if r.Bytes > 0 {
		limit = r.Bytes
	}
	if r.DiskPercent > 0 {
		disk, err := db.directory.fs.Usage()
		if err != nil {
			return nil, fmt.Errorf("ask for the size of the disk: %w", err)
		}
		limit = min(limit, uint64(float64(disk.Total)*r.DiskPercent/100))
	}
	if limit == math.MaxUint64 {
		return nil, nil
	}
	u, err := measure(db.directory.fs)
	if err != nil {
		return nil, err
	}
	beside := uint64(u.Log + u.Head + u.Manifests + u.Other)
	limit -= min(limit, beside)
	states := make([][]block.Meta, len(tenants))
	for i, b := range tenants {
		states[i] = b.newest.Load().current.State.Blocks
	}
	return planner.Budgets(states, limit), nil
}
