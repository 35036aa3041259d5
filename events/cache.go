package events

import (
	"errors"
	"fmt"
)

// AnswersForgotten records that answers of models are not to be used again.
// Appended by the intake; the read model of answers drops them. What was answered
// stays in the log.
type AnswersForgotten struct {
	All     bool   `json:"all,omitempty"`
	Answers []ID   `json:"answers,omitempty"` // the events that hold them
	Reason  string `json:"reason,omitempty"`
}

// Kind implements [Fact].
func (*AnswersForgotten) Kind() Kind  { return KindAnswersForgotten }
func (*AnswersForgotten) fact()       {}
func (*AnswersForgotten) standalone() {}

// ForgetAnswersRequest asks for answers of models to be forgotten. Whoever runs the
// daemon, or may change the machine, may.
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
		errs = append(errs, errors.New("either all answers are forgotten or some that are named"))
	}
	if len(r.Answers) > MaxAnswersForgotten {
		errs = append(errs, fmt.Errorf("%d answers are more than %d", len(r.Answers), MaxAnswersForgotten))
	}
	for _, id := range r.Answers {
		errs = append(errs, id.Validate())
	}
	if len(r.Reason) > MaxReasonBytes {
		errs = append(errs, fmt.Errorf("a reason of %d bytes is more than %d", len(r.Reason), MaxReasonBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "events.ForgetRequest.Validate", Kind: ErrUsage, Err: err}
	}
	return nil
}

func (*ForgetAnswersRequest) request() {}
