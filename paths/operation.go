package paths

import (
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
)

// forwarded is an operation that only the active node can serve, because it writes, calls a
// provider, or needs the active node's memory. Other nodes forward it.
func forwarded(f framework.OperationFunc, summary string, more ...trait) *framework.PathOperation {
	o := local(f, summary, more...)
	o.ForwardPerformanceStandby, o.ForwardPerformanceSecondary = true, true
	return o
}

// local is an operation that any node can serve.
func local(f framework.OperationFunc, summary string, more ...trait) *framework.PathOperation {
	o := &framework.PathOperation{Callback: f, Summary: summary, Responses: map[int][]framework.Response{}}
	for _, set := range more {
		set(o)
	}
	return o
}

// A trait adds something to an operation in the OpenAPI document.
type trait func(*framework.PathOperation)

// says describes the operation's fields and effects in a sentence or two of Markdown. It is
// in the documentation's table of paths, after the synopsis of the path.
func says(markdown string) trait {
	return func(o *framework.PathOperation) { o.Description = markdown }
}

// named gives the operation a verb, and a suffix if that of its path does not
// fit. Without it the verb is read, write, list or delete.
func named(verb string, suffix ...string) trait {
	return func(o *framework.PathOperation) {
		o.DisplayAttrs = &framework.DisplayAttributes{OperationVerb: verb}
		if len(suffix) > 0 {
			o.DisplayAttrs.OperationSuffix = suffix[0]
		}
	}
}

// answers describes the answer.
func answers(what string, schema answer) trait {
	return responds(http.StatusOK, framework.Response{Description: what, Fields: schema})
}

// answersNothing says that the answer is empty, and what its status means.
func answersNothing(what string) trait {
	return responds(http.StatusNoContent, framework.Response{Description: what, Fields: answer{}})
}

// warns says that there may be a warning in place of an empty answer.
func warns(what string) trait {
	return responds(http.StatusOK, framework.Response{Description: what, Fields: answer{}})
}

// shows describes an answer that is not JSON.
func shows(status int, mediaType, what string) trait {
	return responds(status, framework.Response{Description: what, MediaType: mediaType})
}

// refuses describes the error of an operation that always fails.
func refuses(what string) trait {
	return responds(http.StatusBadRequest, framework.Response{Description: what})
}

func responds(status int, r framework.Response) trait {
	return func(o *framework.PathOperation) { o.Responses[status] = []framework.Response{r} }
}

// on names what a path is about, in the ids of its operations:
// authpipe-<verb>-<suffix>.
func on(suffix string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{OperationPrefix: "authpipe", OperationSuffix: suffix}
}
