package httpapi

import "net/http"

// Alertmanagers is what the API asks the sender of alerts. Both answers are URLs,
// sorted; Dropped are of what relabelling dropped.
type Alertmanagers interface {
	Endpoints() []string
	Dropped() []string
}

type alertmanagerJSON struct {
	URL string `json:"url"`
}

func alertmanagersJSON(urls []string) []alertmanagerJSON {
	out := make([]alertmanagerJSON, 0, len(urls))
	for _, u := range urls {
		out = append(out, alertmanagerJSON{u})
	}
	return out
}

// alertmanagers answers /api/v1/alertmanagers.
func (a *API) alertmanagers(*http.Request) (answer, error) {
	return answer{data: map[string]any{
		"activeAlertmanagers":  alertmanagersJSON(a.deps.Alertmanagers.Endpoints()),
		"droppedAlertmanagers": alertmanagersJSON(a.deps.Alertmanagers.Dropped()),
	}}, nil
}
