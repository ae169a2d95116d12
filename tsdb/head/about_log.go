package head

import "github.com/nilometer/nilometer/format/record"

// About returns the payload for a log that brings back all that the head knows
// beside samples: metadata and exemplars. It is nil without any.
func (h *Head) About() []byte {
	a := &h.about
	a.mu.RLock()
	defer a.mu.RUnlock()
	var payload []byte
	if families := a.familiesLocked(); len(families) > 0 {
		payload = record.AppendRecord(payload, record.TypeMetadata, record.AppendFamilies(nil, string(h.id), families))
	}
	if exemplars := a.exemplarsLocked(); len(exemplars) > 0 {
		payload = record.AppendRecord(payload, record.TypeExemplar, record.AppendExemplars(nil, string(h.id), exemplars))
	}
	return payload
}
