package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/discovery/file"
)

// CheckFiles returns what is wrong with files that c names, as `promtool check
// config` looks for it: rule files, credentials and certificates of targets that
// are not there, files of targets that cannot be read. A server starts all the
// same: they may come later.
func (c *Config) CheckFiles() []error {
	var errs []error
	report := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	for _, pattern := range c.RuleFiles {
		if !strings.Contains(pattern, "*") {
			report("rule_files", named(pattern))
		}
	}
	for _, sc := range c.ScrapeConfigs {
		job := fmt.Sprintf("job %q: ", sc.JobName)
		if a := sc.HTTPClient.Authorization; a != nil {
			report(job+"authorization.credentials_file", exists(a.CredentialsFile))
		}
		report(job+"tls_config", checkTLSFiles(&sc.HTTPClient.TLSConfig))
		begin := labels.FromStrings(model.JobLabel, sc.JobName, model.SchemeLabel, sc.Scheme, model.MetricsPathLabel, sc.MetricsPath,
			model.ScrapeIntervalLabel, sc.ScrapeInterval.String(), model.ScrapeTimeoutLabel, sc.ScrapeTimeout.String())
		targets := targetCheck{begin, sc.RelabelConfigs}
		report(job+"static_configs", targets.static(sc.StaticConfigs))
		report(job+"file_sd_configs", targets.files(sc.FileSDConfigs))
	}
	for i, a := range c.Alerting.Alertmanagers {
		at := fmt.Sprintf("alerting.alertmanagers[%d].", i)
		targets := targetCheck{labels.FromStrings(model.SchemeLabel, a.Scheme), a.Relabel}
		report(at+"static_configs", targets.static(a.StaticConfigs))
		report(at+"file_sd_configs", targets.files(a.FileSDConfigs))
	}
	return errs
}

// targetCheck looks at targets as relabelling leaves them: their addresses may be
// made by it.
type targetCheck struct {
	begin labels.Labels // beside those of the target and its group
	rules []*relabel.Config
}

func (c targetCheck) static(configs []*StaticConfig) error {
	var errs []error
	for _, static := range configs {
		for _, target := range static.Targets {
			errs = append(errs, c.address(map[string]string{model.AddressLabel: target}, static.Labels))
		}
	}
	return errors.Join(errs...)
}

// address checks the address of one target; one that is dropped has none.
func (c targetCheck) address(target, group map[string]string) error {
	b := labels.NewBuilder(c.begin)
	for _, set := range []map[string]string{group, target} {
		for name, value := range set {
			b.Set(name, value)
		}
	}
	if !relabel.ProcessBuilder(b, c.rules...) {
		return nil
	}
	switch address := b.Get(model.AddressLabel); {
	case address == "":
		return fmt.Errorf("the target %q has no address", target[model.AddressLabel])
	case strings.Contains(address, "/"):
		return fmt.Errorf("the address %q is no host and port: it has a scheme or a path", address)
	}
	return nil
}

// named checks that a pattern that is a path has its file.
func named(pattern string) error {
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%q is no existing file", pattern)
	}
	return err
}

// exists checks that there is a file; "" is none that is asked for.
func exists(path string) error {
	if path == "" {
		return nil
	}
	_, err := os.Stat(path)
	return err
}

func checkTLSFiles(c *commonconfig.TLSConfig) error {
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("cert_file and key_file go together")
	}
	return errors.Join(exists(c.CertFile), exists(c.KeyFile))
}

// files reads the files of targets that there are now.
func (c targetCheck) files(configs []*FileSDConfig) error {
	var errs []error
	for _, sd := range configs {
		for _, pattern := range sd.Files {
			paths, err := filepath.Glob(pattern)
			if err != nil {
				errs = append(errs, fmt.Errorf("%q is not a valid pattern: %w", pattern, err))
			}
			for _, path := range paths {
				if err := c.file(path); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", path, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (c targetCheck) file(path string) error {
	groups, err := file.Read(path, fileBytesMax)
	if err != nil {
		return err
	}
	for i, g := range groups {
		for _, target := range g.Targets {
			if err := c.address(plainLabels(target), plainLabels(g.Labels)); err != nil {
				return fmt.Errorf("group %d: %w", i, err)
			}
		}
	}
	return nil
}

func plainLabels(set model.LabelSet) map[string]string {
	out := make(map[string]string, len(set))
	for name, value := range set {
		out[string(name)] = string(value)
	}
	return out
}
