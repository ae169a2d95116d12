package scrape

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// NewRegistrySource returns a Source that shows the metrics of g: the way to
// scrape the server's own registry without HTTP.
func NewRegistrySource(g prometheus.Gatherer) Source { return &registrySource{gatherer: g} }

type registrySource struct{ gatherer prometheus.Gatherer }

// AppendMetrics appends what the registry gathers; an incomplete gathering
// fails the scrape.
func (s *registrySource) AppendMetrics(_ context.Context, dst []byte) ([]byte, error) {
	families, err := s.gatherer.Gather()
	if err != nil {
		return dst, fmt.Errorf("gather own metrics: %w", err)
	}
	buf := bytes.NewBuffer(dst)
	enc := expfmt.NewEncoder(buf, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, mf := range families {
		if err := enc.Encode(mf); err != nil {
			return dst, fmt.Errorf("encode own metric %s: %w", mf.GetName(), err)
		}
	}
	return buf.Bytes(), nil
}
