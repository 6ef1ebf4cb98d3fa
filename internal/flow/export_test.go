package flow

// What decides, for its tables.
var (
	Retryable  = retryable
	SameOwner  = sameOwner
	Reason     = Answer.reason
	Trimmed    = Answer.trimmed
	WellFormed = Answer.wellFormed
)
