package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cortex/events"
	"cortex/projections/history"
	"cortex/projections/packages"
)

// defaultHistory is how many transactions a query without a limit returns.
const defaultHistory = 50

// HistoryReply has the form of 'cortex history --json'.
type HistoryReply struct {
	Version      int                      `json:"version"`
	Transactions []history.TransactionRow `json:"transactions"`
}

// TransactionReply has the form of 'cortex show --json'.
type TransactionReply struct {
	Version     int                       `json:"version"`
	Transaction history.TransactionDetail `json:"transaction"`
}

// PackagesReply has the form of 'cortex packages --json'.
type PackagesReply struct {
	Version  int                   `json:"version"`
	Packages []packages.PackageRow `json:"packages"`
}

func (srv *SocketServer) getHistory(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	f := history.Filter{Package: events.PackageName(r.FormValue("package")), State: events.TransactionState(r.FormValue("status"))}
	var err error
	if f.Since, err = parseTime(r, "since"); err != nil {
		return err
	}
	if f.Until, err = parseTime(r, "until"); err != nil {
		return err
	}
	if f.Limit, err = parseLimit(r, defaultHistory); err != nil {
		return err
	}
	list, err := srv.backend.History(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, HistoryReply{history.FormatVersion, list})
}

func (srv *SocketServer) getTransaction(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	t, err := srv.backend.Transaction(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	return writeJSON(w, TransactionReply{history.FormatVersion, t})
}

func (srv *SocketServer) getPackages(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	f := packages.Filter{
		NamePattern: r.FormValue("name"), Status: events.Status(r.FormValue("status")),
		Held: r.FormValue("held") == "true", Mark: packages.Mark(r.FormValue("mark")),
	}
	var err error
	if f.Limit, err = parseLimit(r, 0); err != nil {
		return err
	}
	list, err := srv.backend.Packages(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, PackagesReply{packages.FormatVersion, list})
}

// parseTime reads a time in RFC 3339 from the query; a missing one is the zero time.
func parseTime(r *http.Request, name string) (time.Time, error) {
	v := r.FormValue(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return t, &events.Error{Op: "api.parseTime", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("invalid time %q", v), Hint: "use RFC 3339, for example 2026-11-23T12:00:00Z"}
	}
	return t, nil
}

// parseLimit reads the limit from the query.
func parseLimit(r *http.Request, missing int) (int, error) {
	v := r.FormValue("limit")
	if v == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, &events.Error{Op: "api.parseLimit", Kind: events.ErrUsage, Subject: "limit", Err: fmt.Errorf("invalid number %q", v), Hint: "use 0 or a positive number"}
	}
	return n, nil
}
