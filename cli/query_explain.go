package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newExplain(streams Streams, o *queryOptions) *cobra.Command {
	var at, start, end string
	var step time.Duration
	var trace bool
	cmd := &cobra.Command{
		Use:   "explain EXPR",
		Short: "Show how an expression would be evaluated, and what that would read",
		Long: "Show the plan of an expression with an estimate of what it reads; nothing is read for it.\n" +
			"With --trace the expression is evaluated, and the plan says what each operator did.\n" +
			"With --step it is a range query.",
		Args: args(cobra.ExactArgs(1), "nilometer query explain EXPR"),
		RunE: func(cmd *cobra.Command, exprs []string) error {
			path, v := "/api/v1/query", url.Values{"query": exprs, "explain": {"1"}}
			if trace {
				v.Del("explain")
				v.Set("trace", "1")
			}
			if step > 0 {
				to, err := parseTime("end", end, time.Now())
				if err != nil {
					return err
				}
				from, err := parseTime("start", start, to.Add(-time.Hour))
				if err != nil {
					return err
				}
				path += "_range"
				v.Set("start", unixText(from))
				v.Set("end", unixText(to))
				v.Set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
			} else {
				t, err := parseTime("time", at, time.Now())
				if err != nil {
					return err
				}
				v.Set("time", unixText(t))
			}
			return o.explain(cmd.Context(), streams, path, v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&at, "time", "", "evaluation `time` of an instant query, RFC 3339 or Unix seconds (default now)")
	f.StringVar(&start, "start", "", "`time` of the first point of a range query (default an hour before the end)")
	f.StringVar(&end, "end", "", "`time` of the last point (default now)")
	f.DurationVar(&step, "step", 0, "`duration` between points: makes it a range query")
	f.BoolVar(&trace, "trace", false, "evaluate the expression, and show what each operator did")
	return cmd
}

func unixText(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// explained is what a server says of a plan: in the answer's data, or in its
// trace.
type explained struct {
	Text    string `json:"text"`
	Refusal string `json:"refusal"`
	Trace   *struct {
		Text string `json:"text"`
	} `json:"trace"`
}

func (o *queryOptions) explain(ctx context.Context, streams Streams, path string, v url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	address := strings.TrimSuffix(o.server, "/") + path + "?" + v.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return usageError{fmt.Errorf("--server=%s: %w", o.server, err)}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("query %s: %w", o.server, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("query %s: %w", o.server, err)
	}
	var doc struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("query %s: the answer %s is no JSON: %w", o.server, resp.Status, err)
	}
	if doc.Status != "success" {
		return fmt.Errorf("query %s: %s", o.server, doc.Error)
	}
	if o.format == "json" {
		_, err := fmt.Fprintf(streams.Out, "%s\n", doc.Data)
		return err
	}
	var x explained
	if err := json.Unmarshal(doc.Data, &x); err != nil {
		return fmt.Errorf("query %s: %w", o.server, err)
	}
	if x.Trace != nil {
		x.Text = x.Trace.Text
	}
	if x.Refusal != "" {
		x.Text += "refused: " + x.Refusal + "\n"
	}
	_, err = io.WriteString(streams.Out, x.Text)
	return err
}
