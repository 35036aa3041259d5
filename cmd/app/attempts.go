package app

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/events"
	"cortex/projections/history"
)

// ChangeAttempt is one attempt to change the machine, in the flat form of an audit export. Its
// JSON form is part of 'cortex audit export --format json'.
type ChangeAttempt struct {
	Number       int                     `json:"number"`
	ID           events.TransactionID    `json:"id"`
	RequestedAt  time.Time               `json:"when"` // UTC
	User         string                  `json:"who"`
	UID          int                     `json:"uid"`
	LoginUID     int                     `json:"login_uid,omitempty"`
	SudoUser     string                  `json:"sudo_user,omitempty"`
	TTY          string                  `json:"tty,omitempty"`
	Program      string                  `json:"program,omitempty"`
	Verb         events.Verb             `json:"verb"`
	Summary      string                  `json:"what"`
	CommandLine  string                  `json:"words,omitempty"`
	Outcome      events.TransactionState `json:"outcome"`
	Ended        time.Time               `json:"ended,omitzero"`
	Changed      int                     `json:"changed"` // packages
	Reason       string                  `json:"reason,omitempty"`
	Compensation string                  `json:"fate,omitempty"` // "undone by 7, …"
	Plan         events.PlanID           `json:"plan_id,omitempty"`
	Position     events.Position         `json:"position,omitempty"` // of the event with the outcome
}

// NewAttempt flattens a transaction.
func NewAttempt(t history.TransactionRow) ChangeAttempt {
	e := ChangeAttempt{
		Number: t.Number, ID: t.ID, RequestedAt: t.RequestedAt, User: t.Actor.User, UID: t.Actor.UID, LoginUID: t.Actor.LoginUID,
		SudoUser: t.Actor.SudoUser, TTY: t.Actor.TTY, Program: t.Actor.Program, Verb: t.Verb, Summary: t.Summary, CommandLine: t.CommandLine,
		Outcome: t.State, Ended: t.EndedAt, Changed: t.PackagesChanged, Compensation: t.CompensationSummary(), Plan: t.PlanID, Position: t.EndedPosition,
	}
	if e.User == "" {
		e.User = "uid " + strconv.Itoa(t.Actor.UID)
	}
	if t.Failure != nil {
		e.Reason = strings.TrimPrefix(t.Failure.Subject+": "+t.Failure.Message, ": ")
	}
	return e
}

// ChangeAttemptFilter selects attempts. Empty fields select all.
type ChangeAttemptFilter struct {
	User         string // a user name, a uid, or the name of the user behind sudo
	Pattern      string // matches the verb, the summary or the command line; * matches anything
	Since, Until string // times as ParseTime reads them
	Outcomes     []string
	Package      string
}

// Attempts lists the attempts to change this machine, oldest first.
func (s *Service) Attempts(ctx context.Context, f ChangeAttemptFilter) ([]ChangeAttempt, error) {
	rows, err := f.rowFilter()
	if err != nil {
		return nil, err
	}
	list, err := s.History(ctx, rows, "")
	if err != nil {
		return nil, err
	}
	out := []ChangeAttempt{}
	for _, t := range slices.Backward(list) {
		if a := NewAttempt(t); f.match(a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// rowFilter checks the fields and returns the part that the read model selects by.
func (f ChangeAttemptFilter) rowFilter() (out history.Filter, err error) {
	for _, o := range f.Outcomes {
		if err := CheckState("--outcome", o); err != nil {
			return out, err
		}
	}
	if out.Since, err = ParseTime(f.Since); err != nil {
		return out, err
	}
	if out.Until, err = ParseTime(f.Until); err != nil {
		return out, err
	}
	if f.Package != "" {
		ref, err := events.ParsePackageRef(f.Package)
		if err != nil {
			return out, err
		}
		out.Package = ref.Name
	}
	return out, nil
}

// match reports whether an attempt is selected by the fields that the read model does not
// know.
func (f ChangeAttemptFilter) match(a ChangeAttempt) bool {
	if f.User != "" && f.User != a.User && f.User != strconv.Itoa(a.UID) && f.User != a.SudoUser {
		return false
	}
	if len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, string(a.Outcome)) {
		return false
	}
	if f.Pattern == "" {
		return true
	}
	for _, text := range []string{string(a.Verb), a.Summary, a.CommandLine} {
		if events.Kind(text).Match(f.Pattern) {
			return true
		}
	}
	return false
}
