package authpipetest

import "cmp"

// Codes of reached limits ("Rate Limits").
const (
	codeAppLimit  = 4
	codeUserLimit = 17
	codePageLimit = 32
)

// subcodeManyCalls comes with the codes of three use cases ("Rate Limits").
const subcodeManyCalls = 2446079

// useCaseCodes are the error codes of the business use cases.
var useCaseCodes = map[string]int{
	"ads_insights": 80000, "pages": 80001, "instagram": 80002, "custom_audience": 80003, "ads_management": 80004,
	"leadgen": 80005, "messenger": 80006,
}

// limitMessages are the messages of the codes; a code that is missing has the one of its use case.
var limitMessages = map[int]string{
	codeAppLimit:  "(#4) Application request limit reached",
	codeUserLimit: "(#17) User request limit reached",
	codePageLimit: "(#32) Page request limit reached",
	80000:         manyCalls("80000", "ad-account"),
	80001:         manyCalls("80001", "Page account"),
	80002:         manyCalls("80002", "Instagram account"),
	80003:         manyCalls("80003", "ad-account"),
	80004:         manyCalls("80004", "ad-account"),
	80005:         manyCalls("80005", "Page account"),
	80006:         manyCalls("80006", "Page account"),
}

func manyCalls(code, account string) string {
	return "(#" + code + ") There have been too many calls to this " + account + ". Wait a bit and try again. For more info, please " +
		"refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
}

// throttled refuses a call because a limit is reached.
func (f *Facebook) throttled(a *armedThrottle, code int) refusal {
	r := oauthError(code, "%s", limitMessages[code])
	if code == 80000 || code == 80003 || code == 80004 {
		r.Subcode = subcodeManyCalls
	}
	if a.Error != nil {
		r.GraphError = *a.Error
		r.Type = cmp.Or(r.Type, "OAuthException")
	}
	r.status = f.options().ThrottleStatus
	return r
}
