package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// errorType is Prometheus' name for a family of errors.
type errorType string

// The families of errors and their status codes, as Prometheus has them.
const (
	errBadData     errorType = "bad_data"
	errExecution   errorType = "execution"
	errTimeout     errorType = "timeout"
	errCanceled    errorType = "canceled"
	errUnavailable errorType = "unavailable"
	errNotFound    errorType = "not_found"
	errInternal    errorType = "internal"
)

// statusClientClosed is the status for a client that went away, as nginx and
// Prometheus count it.
const statusClientClosed = 499

var statusOf = map[errorType]int{
	errBadData:     http.StatusBadRequest,
	errExecution:   http.StatusUnprocessableEntity,
	errTimeout:     http.StatusServiceUnavailable,
	errCanceled:    statusClientClosed,
	errUnavailable: http.StatusServiceUnavailable,
	errNotFound:    http.StatusNotFound,
	errInternal:    http.StatusInternalServerError,
}

// apiError is a failure with its family.
type apiError struct {
	kind errorType
	err  error
}

func (e *apiError) Error() string { return e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

func badData(err error) error { return &apiError{errBadData, err} }

// classify finds the family of an error of the engine or the store.
func classify(err error) errorType {
	var (
		own       *apiError
		parse     *promql.ParseError
		limit     *promql.LimitError
		execution *promql.ExecutionError
		missing   *promql.NotSupportedError
	)
	switch {
	case errors.As(err, &own):
		return own.kind
	case errors.Is(err, storage.ErrReplaying), errors.Is(err, storage.ErrOverloaded), errors.Is(err, storage.ErrClosed):
		return errUnavailable
	case errors.As(err, &parse):
		return errBadData
	case errors.As(err, &limit) && limit.Transient:
		return errUnavailable
	case errors.Is(err, promql.ErrTimeout):
		return errTimeout
	case errors.Is(err, promql.ErrCanceled):
		return errCanceled
	case errors.Is(err, promql.ErrKilled), errors.As(err, &limit), errors.As(err, &execution), errors.As(err, &missing), errors.Is(err, storage.ErrUnsupported):
		return errExecution
	}
	return errInternal
}

// answer is what a handler returns: data for the envelope, or an encoder that
// appends it, and passes on what is long.
type answer struct {
	data     any
	encode   func(dst []byte, out *sink) []byte // used when data is nil
	release  func()                             // if not nil, called when the answer was sent
	rows     bool                               // mostly rows of points
	warnings annotations.Annotations
	query    string // the expression that warnings point into
	nothing  bool   // 204, without a body
}

// envelope is the answer's frame.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data,omitempty"`
	ErrorType errorType       `json:"errorType,omitempty"`
	Error     string          `json:"error,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Infos     []string        `json:"infos,omitempty"`
}

// annotationsMax bounds the warnings and the infos in one answer.
const annotationsMax = 10

func (a *API) writeAnswer(w http.ResponseWriter, r *http.Request, ans answer) error {
	if ans.nothing {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	env := envelope{Status: "success"}
	if ans.data != nil {
		data, err := json.Marshal(ans.data)
		if err != nil {
			return err
		}
		env.Data = data
	}
	env.Warnings, env.Infos = ans.warnings.AsStrings(ans.query, annotationsMax, annotationsMax)
	if ans.encode == nil {
		return writeJSON(w, http.StatusOK, env)
	}
	// The data is appended by hand: a matrix is most of what the API ever says.
	tail, err := json.Marshal(env)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	out := &sink{w: w, paper: a.takePaper()}
	if ans.rows {
		out.compressed(r)
	}
	body := append(out.paper.body[:0], `{"status":"success","data":`...)
	body = ans.encode(body, out)
	body = append(body, tail[len(`{"status":"success"`):]...)
	err = out.end(body)
	out.paper.body = body
	a.keepPaper(out.paper)
	return err
}

func writeError(w http.ResponseWriter, err error) error {
	kind := classify(err)
	if kind == errUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	return writeJSON(w, statusOf[kind], envelope{Status: "error", ErrorType: kind, Error: err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}
