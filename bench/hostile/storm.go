package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/bench/attack"
)

// tally is what became of one kind of query.
type tally struct {
	name     string
	statuses map[int]int
	bytes    int64
	took     []time.Duration
	says     map[string]int // errors
}

// storm lets clients ask until the time is over, and the last answers to come.
func storm(ctx context.Context, o options, url string) []*tally {
	ctx, cancel := context.WithTimeout(ctx, o.length)
	defer cancel()
	list := attack.Queries()
	out := make([]*tally, len(list))
	for i, a := range list {
		out[i] = &tally{name: a.Name, statuses: map[int]int{}, says: map[string]int{}}
	}
	var mu sync.Mutex // guards out
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.clients}}
	for c := range o.clients {
		wg.Go(func() {
			for k := c; ctx.Err() == nil; k++ {
				i := k % len(list)
				begin := time.Now()
				status, size, says := ask(ctx, client, url, list[i])
				mu.Lock()
				t := out[i]
				t.statuses[status]++
				t.bytes += size
				t.took = append(t.took, time.Since(begin))
				if says != "" {
					t.says[says]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

// ask returns the status (0: no answer within the time), the size of the answer
// and its error.
func ask(ctx context.Context, client *http.Client, server string, q attack.Query) (status int, size int64, says string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+q.Path(), strings.NewReader(q.Form(time.Now()).Encode()))
	if err != nil {
		return 0, 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, 0, ""
		}
		return 0, 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil {
			return resp.StatusCode, 0, err.Error()
		}
		return resp.StatusCode, 0, e.Error
	}
	size, err = io.Copy(io.Discard, resp.Body)
	if err != nil && ctx.Err() == nil {
		return resp.StatusCode, size, err.Error()
	}
	return resp.StatusCode, size, ""
}

// textMax is how much of an error is printed.
const textMax = 160

func report(all []*tally) {
	for _, t := range all {
		slices.Sort(t.took)
		if len(t.took) == 0 {
			continue
		}
		fmt.Printf("%-26s %v (0: cut off at the end), p50 %v, most %v, %d MiB\n", t.name, t.statuses,
			t.took[len(t.took)/2].Round(time.Millisecond), t.took[len(t.took)-1].Round(time.Millisecond), t.bytes>>20)
		for says, n := range t.says {
			if len(says) > textMax {
				says = says[:textMax] + "…"
			}
			fmt.Printf("    %d× %s\n", n, says)
		}
	}
}
