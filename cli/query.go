package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// queryOptions are the flags that the query commands share.
type queryOptions struct {
	server, format string
	timeout        time.Duration
}

func newQuery(streams Streams) *cobra.Command {
	o := &queryOptions{}
	query := &cobra.Command{
		Use:   "query",
		Short: "Ask a server",
		Args:  args(cobra.NoArgs, "nilometer query instant|range|explain EXPR"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := query.PersistentFlags()
	f.StringVar(&o.server, "server", "http://127.0.0.1:9090", "`URL` of the server")
	f.StringVarP(&o.format, "format", "o", "promql", "output `format`: promql or json")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how `long` to wait")
	query.AddCommand(newInstant(streams, o), newRange(streams, o), newExplain(streams, o))
	return query
}

func newInstant(streams Streams, o *queryOptions) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "instant EXPR",
		Short: "Evaluate an expression at one time",
		Args:  args(cobra.ExactArgs(1), "nilometer query instant EXPR"),
		RunE: func(cmd *cobra.Command, exprs []string) error {
			t, err := parseTime("time", at, time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, client promv1.API) (model.Value, promv1.Warnings, error) {
				return client.Query(ctx, exprs[0], t)
			})
		},
	}
	cmd.Flags().StringVar(&at, "time", "", "evaluation `time`, RFC 3339 or Unix seconds (default now)")
	return cmd
}

func newRange(streams Streams, o *queryOptions) *cobra.Command {
	var start, end string
	var step time.Duration
	cmd := &cobra.Command{
		Use:   "range EXPR",
		Short: "Evaluate an expression over a range of time",
		Args:  args(cobra.ExactArgs(1), "nilometer query range EXPR"),
		RunE: func(cmd *cobra.Command, exprs []string) error {
			to, err := parseTime("end", end, time.Now())
			if err != nil {
				return err
			}
			from, err := parseTime("start", start, to.Add(-time.Hour))
			if err != nil {
				return err
			}
			if step <= 0 { // some 250 points, as a graph has
				step = max(time.Second, to.Sub(from)/250).Truncate(time.Second)
			}
			r := promv1.Range{Start: from, End: to, Step: step}
			return o.run(cmd.Context(), streams, func(ctx context.Context, client promv1.API) (model.Value, promv1.Warnings, error) {
				return client.QueryRange(ctx, exprs[0], r)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&start, "start", "", "`time` of the first point, RFC 3339 or Unix seconds (default an hour before the end)")
	f.StringVar(&end, "end", "", "`time` of the last point (default now)")
	f.DurationVar(&step, "step", 0, "`duration` between points (default: some 250 points)")
	return cmd
}

func (o *queryOptions) run(ctx context.Context, streams Streams, ask func(context.Context, promv1.API) (model.Value, promv1.Warnings, error)) error {
	if o.format != "promql" && o.format != "json" {
		return usageError{fmt.Errorf("--format=%s: the formats are promql and json", o.format)}
	}
	client, err := api.NewClient(api.Config{Address: o.server})
	if err != nil {
		return usageError{fmt.Errorf("--server=%s: %w", o.server, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	value, warnings, err := ask(ctx, promv1.NewAPI(client))
	if err != nil {
		return fmt.Errorf("query %s: %w%s", o.server, err, reason(err))
	}
	for _, w := range warnings {
		_, _ = fmt.Fprintf(streams.Err, "warning: %s\n", w)
	}
	if o.format == "json" {
		return json.NewEncoder(streams.Out).Encode(value)
	}
	_, err = fmt.Fprintln(streams.Out, value)
	return err
}

// reason is what an answer with a status 5xx says: the client keeps it apart
// from its error.
func reason(err error) string {
	var failure *promv1.Error
	var body struct{ Error string }
	if !errors.As(err, &failure) || json.Unmarshal([]byte(failure.Detail), &body) != nil || body.Error == "" {
		return ""
	}
	return ": " + body.Error
}

// parseTime reads RFC 3339 or Unix seconds; "" is otherwise.
func parseTime(flag, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.Time{}, usageError{fmt.Errorf("--%s=%s: write it like 2026-01-31T15:04:05Z or 1767225600", flag, text)}
	}
	return time.UnixMilli(int64(seconds * 1000)), nil
}
