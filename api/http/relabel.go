package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/scrape"
)

// relabelSteps answers /api/v1/targets/relabel_steps: what the rules of a pool
// make of labels (a JSON object), each rule with its before and after. stage is
// "target", as in Prometheus, or "metric" for the labels of a sample.
func (a *API) relabelSteps(r *http.Request) (answer, error) {
	pool, text, stage := r.FormValue("scrapePool"), r.FormValue("labels"), r.FormValue("stage")
	switch {
	case pool == "":
		return answer{}, invalidParameter("scrapePool", errors.New("is missing: name a pool of /api/v1/scrape_pools"))
	case text == "":
		return answer{}, invalidParameter("labels", errors.New(`is missing: give labels as a JSON object, as {"__address__":"a:80"}`))
	case stage != "" && stage != "target" && stage != "metric":
		return answer{}, invalidParameter("stage", fmt.Errorf("%q is neither target nor metric", stage))
	}
	var lset labels.Labels
	if err := json.Unmarshal([]byte(text), &lset); err != nil {
		return answer{}, invalidParameter("labels", err)
	}
	steps, ok := a.deps.Targets.RelabelSteps(pool, lset, stage == "metric")
	if !ok {
		return answer{}, invalidParameter("scrapePool", fmt.Errorf("there is no pool %q", pool))
	}
	return answer{data: map[string][]scrape.RelabelStep{"steps": steps}}, nil
}
