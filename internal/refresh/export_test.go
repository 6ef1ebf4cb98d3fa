package refresh

// What decides, for its tables.
var (
	ShouldRefresh = shouldRefresh
	DueCalls      = dueCalls
	AfterOutage   = afterOutage
	Warnings      = warnings
)
