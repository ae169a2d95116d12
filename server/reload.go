package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/tsdb"
)

// retentionDefault is how long samples are kept when nothing says otherwise.
const retentionDefault = 30 * 24 * time.Hour

// databaseOptions translates the settings of the database that are fixed while
// the server runs.
func (s *server) databaseOptions(c *config.Config) tsdb.Options {
	keep, _ := s.keep(c) // the configuration is checked
	s.retention = keep.Time
	o := tsdb.Options{
		BlockRange:   time.Duration(c.Nilometer.Storage.BlockRange),
		SyncInterval: time.Duration(c.Nilometer.Storage.SyncInterval),
		Retention:    keep.Time, RetentionBytes: keep.Bytes, RetentionDiskPercent: keep.DiskPercent, RetentionRules: keep.Rules,
	}
	if w := c.Storage.TSDB.OutOfOrderTimeWindow; w != nil {
		if o.LateScrapes, o.LatePushes = time.Duration(*w), time.Duration(*w); *w == 0 {
			o.LatePushes = -1 // none, where zero is the default
		}
	}
	return o
}

// keep translates how long samples are kept; flags override the file.
func (s *server) keep(c *config.Config) (tsdb.Retention, error) {
	r := c.Nilometer.Storage.Retention
	out := tsdb.Retention{
		Time: cmp.Or(s.opts.RetentionTime, time.Duration(r.Time), retentionDefault), Bytes: cmp.Or(s.opts.RetentionSize, uint64(r.Size)),
		DiskPercent: cmp.Or(s.opts.RetentionPercent, r.DiskPercent),
	}
	for _, rule := range r.Rules {
		ms, err := rule.Matchers()
		if err != nil {
			return out, fmt.Errorf("retention rule %q: %w", rule.Match, err)
		}
		out.Rules = append(out.Rules, tsdb.RetentionRule{Matchers: ms, Time: time.Duration(rule.Time)})
	}
	return out, nil
}

// apply makes a configuration the one that runs.
func (s *server) apply(c *config.Config) error {
	keep, err := s.keep(c)
	if err == nil {
		err = s.db.SetRetention(keep)
	}
	if err != nil {
		return err
	}
	files, ruleErr := s.ruleFiles(c)
	if err := s.applyParts(c, files); err != nil {
		return err
	}
	if ruleErr != nil {
		s.logger.Error("rule files not read, their last good version goes on", "err", ruleErr)
	}
	s.pacer.fix(c.Runtime.GoGC)
	s.tellNotices(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retention = keep.Time
	s.reloadedOK, s.reloadedAt = ruleErr == nil, time.Now()
	return nil
}

func (s *server) applyParts(c *config.Config, files []rules.File) error {
	queryLog, err := openQueryLog(c.Global.QueryLogFile)
	if err != nil {
		return err
	}
	err = s.limits.Apply(limitOptions(c))
	if err == nil {
		err = s.scrapes.Apply(s.pools(c))
	}
	if err == nil {
		err = s.rules.Apply(files, s.ruleOptions(c))
	}
	if err == nil {
		err = s.sender.Apply(senderOptions(c))
	}
	if err == nil {
		err = s.alerting.Apply(c.Nilometer.Alerting.ConfigFile, s.externalURL)
	}
	if err != nil {
		if queryLog != nil {
			err = errors.Join(err, queryLog.Close())
		}
		return err
	}
	s.logQueriesTo(queryLog)
	s.engine.SetSubqueryStep(time.Duration(c.Global.EvaluationInterval))
	return nil
}

// ruleFiles reads the rule files; one that is bad now stays as it was.
func (s *server) ruleFiles(c *config.Config) ([]rules.File, error) {
	read, errs := c.ReadRules()
	var out []rules.File
	good := map[string]rules.File{}
	for _, f := range read {
		rf := rules.File{Path: f.Path, Groups: f.Groups}
		out = append(out, rf)
		good[f.Path] = rf
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range errs {
		var bad *config.RuleFileError
		if !errors.As(err, &bad) {
			continue
		}
		if last, ok := s.lastRules[bad.Path]; ok {
			out = append(out, last)
			good[last.Path] = last
		}
	}
	s.lastRules = good
	return out, errors.Join(errs...)
}

// Reload implements httpapi.Server.
func (s *server) Reload(context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before, _ := s.sources.look()
	c, err := load(s.opts)
	if err == nil {
		err = s.apply(c)
	}
	s.sources.note(c, before)
	if err != nil {
		s.mu.Lock()
		s.reloadedOK = false
		s.mu.Unlock()
		s.logger.Error("configuration not reloaded, the one before goes on", "err", err)
		return err
	}
	s.logger.Info("configuration reloaded", "file", s.opts.ConfigFile)
	return nil
}

// watchReloads reloads at every signal, and when the files have changed, until
// ctx ends.
func (s *server) watchReloads(ctx context.Context) {
	var look <-chan time.Time
	if s.opts.ConfigFile != "" && s.opts.AutoReloadInterval > 0 {
		ticker := time.NewTicker(s.opts.AutoReloadInterval)
		defer ticker.Stop()
		look = ticker.C
	}
	seen := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.deps.Reload:
			_ = s.Reload(ctx) // logged there
		case <-look:
			// Who writes a file is done when it looks the same twice.
			now, read := s.sources.look()
			if now != read && now == seen {
				s.logger.Info("the configuration's files have changed")
				_ = s.Reload(ctx)
			}
			seen = now
		}
	}
}

// Reloaded implements httpapi.Server.
func (s *server) Reloaded() (bool, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reloadedOK, s.reloadedAt
}

// Ready implements httpapi.Server.
func (s *server) Ready() error {
	if err := s.db.Ready(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// DataDir implements httpapi.Server.
func (s *server) DataDir() string { return s.opts.DataDir }

// Retention implements httpapi.Server.
func (s *server) Retention() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return model.Duration(s.retention).String()
}
