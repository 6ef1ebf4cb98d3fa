package authpipetest

// Subcodes of device login, by which alone its errors are told apart ("Login for Devices").
const (
	codePending              = 31
	codeDeviceExpired        = 463
	subcodeDeviceExpired     = 1349152
	subcodeExcessivePolling  = 1349172
	subcodeDeviceNotApproved = 1349174
)

// devicePending: nobody has typed the code in yet.
func devicePending() refusal {
	return deviceError(codePending, subcodeDeviceNotApproved, "This request requires the user to take a pending action",
		"Device Login Authorization Pending", "User has not yet authorized your application. Continue polling.")
}

// deviceTooFast: the interval was not kept.
func deviceTooFast() refusal {
	return deviceError(codeUserLimit, subcodeExcessivePolling, "User request limit reached", "OAuth Device Excessive Polling",
		"Your device is polling too frequently. Space your requests with a minium interval of 5 seconds.")
}

// deviceExpired: the code was not used in time, or is used up.
func deviceExpired() refusal {
	return deviceError(codeDeviceExpired, subcodeDeviceExpired, "The session has expired", "Activation Code Expired",
		"The code you entered has expired. Please go back to your device for a new code and try again.")
}

func deviceError(code, subcode int, message, title, text string) refusal {
	r := oauthError(code, "%s", message)
	r.Subcode, r.UserTitle, r.UserMsg, r.IsTransient = subcode, title, text, new(false)
	return r
}
