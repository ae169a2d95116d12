package corpus

import (
	"errors"
	"io"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
)

// Recording has the series of one exporter and their values by scrape: stale
// markers where a scrape does not have a series.
type Recording struct {
	Labels []labels.Labels
	Values [][]float64
}

// Of returns the series' labels for one instance, with labels that a fleet has.
func (r *Recording) Of(instance string) []labels.Labels {
	out := make([]labels.Labels, len(r.Labels))
	for i, lset := range r.Labels {
		out[i] = labels.NewBuilder(lset).Set("job", "node").Set("instance", instance).
			Set("cluster", "eu-1").Set("region", "eu").Set("env", "production").Set("team", "infrastructure").Labels()
	}
	return out
}

// Load parses the first scrapes of an exporter.
func Load(name string, scrapes int) (*Recording, error) {
	r, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rec, known := &Recording{}, map[string]int{}
	for len(rec.Values) < scrapes {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if s.Failed() {
			continue
		}
		values, err := rec.parse(s.Body, known)
		if err != nil {
			return nil, err
		}
		rec.Values = append(rec.Values, values)
	}
	for i, v := range rec.Values {
		for len(v) < len(rec.Labels) {
			v = append(v, column.StaleNaN())
		}
		rec.Values[i] = v
	}
	return rec, nil
}

func (r *Recording) parse(body []byte, known map[string]int) ([]float64, error) {
	values := make([]float64, len(r.Labels))
	for i := range values {
		values[i] = column.StaleNaN()
	}
	err := Parse(body, labels.NewSymbolTable(), func(s Series) {
		i, ok := known[string(s.Text)]
		if !ok {
			i = len(r.Labels)
			known[string(s.Text)] = i
			r.Labels, values = append(r.Labels, s.Labels()), append(values, 0)
		}
		values[i] = s.Value
	})
	return values, err
}
