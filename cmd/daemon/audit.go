package daemon

import (
	"context"
	"database/sql"

	"cortex/consumers/auditor"
	"cortex/consumers/scribe"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/audit"
)

// wireAuditor makes the auditor over the read model of the tree.
func (in *inside) wireAuditor(sc *scribe.Scribe) {
	tree := auditTree{in: in}
	for _, m := range in.models {
		if m.Name() == audit.Name {
			tree.model = m
		}
	}
	in.auditor = auditor.New(sc, tree, auditor.Config{
		Places: auditor.Places(in.settings.Audit()),
		Report: func(err error) {
			in.logger.Error("the log is not signed", "error", err)
		},
	})
}

// auditTree answers the auditor from the read model.
type auditTree struct {
	in    *inside
	model *projections.Model
}

var _ auditor.Tree = auditTree{}

// WaitFor implements [auditor.Tree].
func (t auditTree) WaitFor(ctx context.Context, p events.Position) error {
	return t.in.projector.WaitFor(ctx, p)
}

// Root implements [auditor.Tree].
func (t auditTree) Root(ctx context.Context, size events.Position) (root events.Hash, err error) {
	err = t.model.Read(ctx, func(db *sql.DB) error {
		root, err = audit.NewReader(db).Root(ctx, size)
		return err
	})
	return root, err
}
