package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// compare returns how the answers of two servers differ, theirs first.
func compare(ctx context.Context, theirs, ours string) ([]string, error) {
	var out []string
	for _, part := range []struct {
		name string
		of   func(ctx context.Context, address string) (map[string]string, error)
	}{{"sample", samples}, {"exemplars", exemplars}, {"metadata", metadata}, {"target", targets}} {
		a, err := part.of(ctx, theirs)
		if err != nil {
			return nil, err
		}
		b, err := part.of(ctx, ours)
		if err != nil {
			return nil, err
		}
		if len(a) == 0 {
			return nil, fmt.Errorf("prometheus has no %s: the comparison means nothing", part.name)
		}
		keys := maps.Clone(a)
		maps.Copy(keys, b)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if a[k] != b[k] {
				out = append(out, fmt.Sprintf("%s %s\n  prometheus %s\n  nilometer  %s", part.name, k, orNone(a[k]), orNone(b[k])))
			}
		}
		fmt.Printf("%d of %s\n", len(a), part.name)
	}
	return out, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// get decodes the data of an answer of the API.
func get(ctx context.Context, address, path string, params url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/"+path+"?"+params.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("ask %s: %s", path, answer.Error)
	}
	return nil
}

// text is a value of JSON with its keys in order.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(b)
}

// samples are the newest of all series, but for those that measure time.
func samples(ctx context.Context, address string) (map[string]string, error) {
	var data struct {
		Result []struct {
			Metric           map[string]string
			Value, Histogram []any
		}
	}
	if err := get(ctx, address, "query", url.Values{"query": {`{job!=""}`}}, &data); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range data.Result {
		switch name := r.Metric["__name__"]; {
		case name == "scrape_duration_seconds", name == "scrape_series_added":
			continue
		case refused(r.Metric["job"]) && name != "up":
			continue // how far a body was read that was refused
		}
		if v := append(r.Value, r.Histogram...); len(v) == 2 {
			out[text(r.Metric)] = text(v[1])
		}
	}
	return out, nil
}

func exemplars(ctx context.Context, address string) (map[string]string, error) {
	var data []struct {
		SeriesLabels map[string]string
		Exemplars    any
	}
	err := get(ctx, address, "query_exemplars", url.Values{
		"query": {`{__name__=~".+"}`}, "start": {"1600000000"}, "end": {strconv.FormatInt(time.Now().Unix(), 10)},
	}, &data)
	out := map[string]string{}
	for _, s := range data {
		out[text(s.SeriesLabels)] = text(s.Exemplars)
	}
	return out, err
}

func metadata(ctx context.Context, address string) (map[string]string, error) {
	var data map[string]any
	err := get(ctx, address, "metadata", nil, &data)
	out := map[string]string{}
	for family, m := range data {
		out[family] = text(m)
	}
	return out, err
}

func targets(ctx context.Context, address string) (map[string]string, error) {
	var data struct {
		ActiveTargets []struct {
			ScrapePool, ScrapeURL, Health string
			Labels, DiscoveredLabels      map[string]string
		}
	}
	err := get(ctx, address, "targets", nil, &data)
	out := map[string]string{}
	for _, t := range data.ActiveTargets {
		out[t.ScrapePool+" "+t.ScrapeURL] = t.Health + " " + text(t.Labels) + " " + text(t.DiscoveredLabels)
	}
	return out, err
}
