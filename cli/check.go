package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/config"
)

func newCheck(streams Streams) *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Check files before a server reads them",
		Args:  args(cobra.NoArgs, "nilometer check config|rules FILE..."),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	check.AddCommand(&cobra.Command{
		Use:   "config FILE...",
		Short: "Check configuration files and the rule files that they name",
		Args:  args(cobra.MinimumNArgs(1), "nilometer check config FILE..."),
		RunE: func(_ *cobra.Command, files []string) error {
			return eachFile(files, func(file string) error { return checkConfig(streams, file) })
		},
	}, &cobra.Command{
		Use:   "rules FILE...",
		Short: "Check rule files",
		Args:  args(cobra.MinimumNArgs(1), "nilometer check rules FILE..."),
		RunE: func(_ *cobra.Command, files []string) error {
			return eachFile(files, func(file string) error { return checkRules(streams, file) })
		},
	})
	return check
}

func eachFile(files []string, check func(string) error) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, check(file))
	}
	return errors.Join(errs...)
}

func checkConfig(streams Streams, file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	rules, errs := c.ReadRules()
	if errs = append(errs, c.CheckFiles()...); len(errs) > 0 {
		return errors.Join(errs...)
	}
	if name := c.Nilometer.Alerting.ConfigFile; name != "" {
		if _, err := os.Stat(name); err != nil {
			return fmt.Errorf("%s: nilometer.alerting.config_file: %w", file, err)
		}
	}
	for _, n := range c.Notices() {
		if _, err := fmt.Fprintf(streams.Err, "%s\n", n.Error()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(streams.Out, "%s: valid: %d scrape configs, %d rule files with %d rules\n",
		file, len(c.ScrapeConfigs), len(rules), ruleCount(rules...))
	return err
}

func checkRules(streams Streams, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	rules, err := config.ParseRules(content, file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(streams.Out, "%s: valid: %d groups, %d rules\n", file, len(rules.Groups), ruleCount(rules))
	return err
}

func ruleCount(files ...config.RuleFile) (n int) {
	for _, f := range files {
		for _, g := range f.Groups {
			n += len(g.Rules)
		}
	}
	return n
}
