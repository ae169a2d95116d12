package metadb

import (
	"crypto/rand"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/prometheus/model/labels"
)

// Bounds of text columns, in bytes. The first five are the given widths of the
// columns.
const (
	jobMax         = 128
	urlMax         = 256
	ruleNameMax    = 128
	instanceMax    = 256
	fingerprintMax = 64
	silenceMax     = 128
	personMax      = 128
	sourceMax      = 1024
	groupMax       = 256
	expressionMax  = 64 << 10
	labelsMax      = 64 << 10 // of one label set, names and values together
	commentMax     = 4096
	groupKeyMax    = 4096
	receiverMax    = 256
	integrationMax = 64
	errorMax       = 4096
	notifyAlerts   = 10_000 // alerts named by one notification
)

// NewAlertID returns a new id; ids made later sort after it, to the millisecond.
func NewAlertID() AlertID { return AlertID(newID()) }

// NewNotificationID returns a new id; ids made later sort after it, to the
// millisecond.
func NewNotificationID() NotificationID { return NotificationID(newID()) }

// newID cannot fail: crypto/rand ends the process rather than return an error.
func newID() string {
	return uuid.Must(uuid.NewV7FromReader(rand.Reader)).String()
}

// Validate reports why the spec cannot be stored, or nil; the error is
// ErrInvalid.
func (s TargetSpec) Validate() error {
	return first(
		text("job name", s.Job, 1, jobMax),
		text("target URL", s.URL, 1, urlMax),
		labelSet("static labels", s.StaticLabels),
		span("scrape interval", s.Interval, time.Millisecond),
		span("scrape timeout", s.Timeout, time.Millisecond),
	)
}

// Validate reports why the update cannot be stored, or nil; the error is
// ErrInvalid.
func (u TargetUpdate) Validate() error {
	return first(
		oneOf("target status", u.Status, TargetUnknown, TargetUp, TargetDown, TargetTimeout, TargetParseError, TargetOverlimit),
		span("scrape duration", u.Duration, 0),
	)
}

// Validate reports why the spec cannot be stored, or nil; the error is
// ErrInvalid.
func (s RuleSpec) Validate() error {
	if s.Position < 0 {
		return fmt.Errorf("%w: the rule's position is %d", ErrInvalid, s.Position)
	}
	return first(
		text("rule source", s.Source, 1, sourceMax),
		text("rule group", s.Group, 1, groupMax),
		text("rule name", s.Name, 1, ruleNameMax),
		text("rule expression", s.Expression, 1, expressionMax),
		span("for", s.For, 0),
		span("keep_firing_for", s.KeepFiringFor, 0),
		labelSet("rule labels", s.Labels),
		labelSet("rule annotations", s.Annotations),
	)
}

// Validate reports why the state cannot be stored, or nil; the error is
// ErrInvalid.
func (s AlertState) Validate() error {
	if s.Version < 0 {
		return fmt.Errorf("%w: version %d", ErrInvalid, s.Version)
	}
	return first(
		text("fingerprint", s.Fingerprint, 1, fingerprintMax),
		oneOf("alert state", s.State, StateInactive, StatePending, StateFiring),
		labelSet("alert labels", s.Labels),
		labelSet("alert annotations", s.Annotations),
	)
}

// Validate reports why the alert cannot be inserted, or nil; the error is
// ErrInvalid.
func (a FiredAlert) Validate() error {
	return first(
		id("alert id", string(a.ID)),
		text("fingerprint", a.Fingerprint, 1, fingerprintMax),
		text("instance name", a.InstanceName, 0, instanceMax),
		text("rule name", a.RuleName, 0, ruleNameMax),
		text("rule expression", a.Expression, 0, expressionMax),
		labelSet("alert labels", a.Labels),
		labelSet("alert annotations", a.Annotations),
		set("start of the firing", a.StartedAt),
	)
}

// Validate reports why the change cannot be made, or nil; the error is
// ErrInvalid.
func (c AlertChange) Validate() error {
	if c.Resolve == nil && c.SilencedBy == nil && c.Acknowledge == nil {
		return fmt.Errorf("%w: the change of alert %s changes nothing", ErrInvalid, c.ID)
	}
	var errs []error
	if c.Resolve != nil {
		errs = append(errs, oneOf("resolver", c.Resolve.By, BySystem, ByHand), set("end of the firing", c.Resolve.At))
	}
	if c.SilencedBy != nil {
		errs = append(errs, text("silence", *c.SilencedBy, 0, silenceMax))
	}
	if c.Acknowledge != nil {
		errs = append(errs, text("person", c.Acknowledge.By, 0, personMax), text("comment", c.Acknowledge.Comment, 0, commentMax))
	}
	return first(errs...)
}

// Validate reports why the attempt cannot be stored, or nil; the error is
// ErrInvalid. An Error that is too long is no reason: drivers store CutError.
func (n Notification) Validate() error {
	if n.Attempt < 1 {
		return fmt.Errorf("%w: attempt %d, they count from 1", ErrInvalid, n.Attempt)
	}
	if len(n.Alerts) > notifyAlerts {
		return fmt.Errorf("%w: the notification names %d alerts, at most %d are allowed", ErrInvalid, len(n.Alerts), notifyAlerts)
	}
	for _, f := range n.Alerts {
		if err := text("fingerprint", f, 1, fingerprintMax); err != nil {
			return err
		}
	}
	return first(
		id("notification id", string(n.ID)),
		text("group key", n.GroupKey, 1, groupKeyMax),
		text("receiver", n.Receiver, 1, receiverMax),
		text("integration", n.Integration, 0, integrationMax),
		oneOf("outcome", n.Outcome, NotificationSent, NotificationFailed, NotificationRetry, NotificationDropped),
		set("time of the attempt", n.At),
	)
}

// CutError returns the part of Error that is stored: valid UTF-8 of at most
// 4,096 bytes.
func (n Notification) CutError() string {
	s := n.Error
	if len(s) > errorMax {
		s = s[:errorMax]
	}
	if utf8.ValidString(s) {
		return s
	}
	valid := make([]rune, 0, len(s))
	for _, r := range s { // a bad byte counts as U+FFFD, which is left out
		if r != utf8.RuneError {
			valid = append(valid, r)
		}
	}
	return string(valid)
}

func text(what, s string, bytesMin, bytesMax int) error {
	if len(s) < bytesMin || len(s) > bytesMax {
		return fmt.Errorf("%w: the %s has %d bytes, %d to %d are allowed: %.80q", ErrInvalid, what, len(s), bytesMin, bytesMax, s)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: the %s is not UTF-8: %.80q", ErrInvalid, what, s)
	}
	return nil
}

func labelSet(what string, ls labels.Labels) error {
	size := 0
	var bad error
	ls.Range(func(l labels.Label) {
		size += len(l.Name) + len(l.Value)
		if bad == nil && !(utf8.ValidString(l.Name) && utf8.ValidString(l.Value)) {
			bad = fmt.Errorf("%w: the %s hold a name or value that is not UTF-8: %.80q", ErrInvalid, what, l.Name+"="+l.Value)
		}
	})
	if bad == nil && size > labelsMax {
		bad = fmt.Errorf("%w: the %s have %d bytes, at most %d are allowed", ErrInvalid, what, size, labelsMax)
	}
	return bad
}

// span checks a duration: the database keeps milliseconds and, beside them,
// whole seconds in 32 bits.
func span(what string, d, least time.Duration) error {
	const most = (1<<31 - 1) * time.Second
	if d < least || d > most {
		return fmt.Errorf("%w: the %s is %s, %s to %s are allowed", ErrInvalid, what, d, least, most)
	}
	return nil
}

func set(what string, t time.Time) error {
	if t.IsZero() {
		return fmt.Errorf("%w: the %s is not set", ErrInvalid, what)
	}
	return nil
}

func id(what, s string) error {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return fmt.Errorf("%w: the %s %.80q is no UUID in lower-case canonical form", ErrInvalid, what, s)
	}
	return nil
}

func oneOf[T ~string](what string, got T, allowed ...T) error {
	for _, a := range allowed {
		if got == a {
			return nil
		}
	}
	return fmt.Errorf("%w: the %s is %.80q, allowed are %q", ErrInvalid, what, string(got), allowed)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
