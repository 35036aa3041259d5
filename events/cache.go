package events

import (
	"errors"
	"fmt"
)

// AnswersForgotten records that answers of models must not be used again. The read
// model of answers drops them; the answers stay in the log.
type AnswersForgotten struct {
	All     bool   `json:"all,omitempty"`
	Answers []ID   `json:"answers,omitempty"` // the events that hold them
	Reason  string `json:"reason,omitempty"`
}

// Kind implements [Fact].
func (*AnswersForgotten) Kind() Kind  { return KindAnswersForgotten }
func (*AnswersForgotten) fact()       {}
func (*AnswersForgotten) standalone() {}

// ForgetAnswersRequest asks to forget answers of models. The user who runs the daemon
// may send it, and users who may change the machine.
type ForgetAnswersRequest struct {
	AnswersForgotten
}

// Kind implements [Request].
func (*ForgetAnswersRequest) Kind() Kind { return KindForgetAnswersRequested }

// MayChangeMachine implements [Request]: no package changes.
func (*ForgetAnswersRequest) MayChangeMachine() bool { return false }

// Validate implements [Request].
func (r *ForgetAnswersRequest) Validate() error {
	var errs []error
	if r.All == (len(r.Answers) > 0) {
		errs = append(errs, errors.New("name answers, or ask for all of them, but not both"))
	}
	if len(r.Answers) > MaxAnswersForgotten {
		errs = append(errs, fmt.Errorf("%d answers; at most %d are allowed", len(r.Answers), MaxAnswersForgotten))
	}
	for _, id := range r.Answers {
		errs = append(errs, id.Validate())
	}
	if len(r.Reason) > MaxReasonBytes {
		errs = append(errs, fmt.Errorf("the reason has %d bytes; at most %d are allowed", len(r.Reason), MaxReasonBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "events.ForgetAnswersRequest.Validate", Kind: ErrUsage, Err: err}
	}
	return nil
}

func (*ForgetAnswersRequest) request() {}
