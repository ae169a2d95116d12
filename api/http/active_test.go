package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// waiting is a store whose views come when the request ends.
type waiting struct {
	storage.Reader
	asked chan struct{}
}

func (w waiting) View(ctx context.Context, _ tenant.ID) (storage.View, error) {
	w.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestActiveQueries(t *testing.T) {
	const path = "/api/v1/status/active_queries"
	reader := waiting{store(t), make(chan struct{})}
	s := newSite(t, "", reader)
	s.expect(path, 200, `{"status":"success","data":{"queries":[]}}`)

	type result struct {
		status int
		answer string
	}
	done := make(chan result)
	go func() {
		status, answer, _ := s.do(http.MethodGet, "/api/v1/query_range?query=sum(up)&start=1e14&end=1e14&step=15", "")
		done <- result{status, answer}
	}()
	<-reader.asked
	status, answer, _ := s.do(http.MethodGet, path, "")
	var got struct {
		Data struct {
			Queries []map[string]any `json:"queries"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 || len(got.Data.Queries) != 1 {
		t.Fatalf("%d %s: %v", status, answer, err)
	}
	q := got.Data.Queries[0]
	for name, want := range map[string]any{
		"query": "sum(up)", "tenant": "default", "kind": "range", "state": "running", "start": 1e14, "step": 15.0, "seriesRead": 0.0, "memoryBytes": 0.0,
	} {
		if q[name] != want {
			t.Errorf("%s is %v, want %v", name, q[name], want)
		}
	}
	id := q["id"].(string)
	status, answer, _ = s.do(http.MethodDelete, path+"/"+id, "")
	if status != 200 || !strings.Contains(answer, `"query":"sum(up)"`) {
		t.Errorf("killing it: %d %s", status, answer)
	}
	want := `{"status":"error","errorType":"execution","error":"query was killed via the API (DELETE ` + path + `/` + id + `)"}`
	if r := <-done; r.status != 422 || r.answer != want {
		t.Errorf("the killed query: %d %s", r.status, r.answer)
	}
	for target, want := range map[string]int{path + "/" + id: 404, path + "/x": 400} {
		if status, answer, _ := s.do(http.MethodDelete, target, ""); status != want {
			t.Errorf("DELETE %s: %d %s", target, status, answer)
		}
	}
	s.expect(path, 200, `{"status":"success","data":{"queries":[]}}`)
}
