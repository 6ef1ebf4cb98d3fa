package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var eventsAnswer = answer{
	"events": {Type: framework.TypeSlice, Required: true, Description: "id, at, type, ref and, where it applies, reason of each, oldest first. ref is empty where the tenant, or the person by a data deletion, has been deleted since."},
	"after":  {Type: framework.TypeInt64, Required: true, Description: "The id of the last of them: what to read on after."},
}

type eventPaths struct{ store *store.Store }

func events(s *store.Store) []*framework.Path {
	return []*framework.Path{{
		Pattern:      "events$",
		DisplayAttrs: on("events"),
		Fields: fields(map[string]*framework.FieldSchema{
			"after": {Type: framework.TypeInt64, Query: true, Description: "The id of the last event that was read. Default: 0, from the oldest that is kept."},
			"limit": {Type: framework.TypeInt, Query: true, Description: "Answer so many events at the most: 1 to 10000, by default 1000.", Default: defaultLimit},
		}),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(eventPaths{s}.read, "Read the events after a cursor, oldest first.",
				says("Takes `after`, the last event that was read, and `limit`; answers `id`, `at`, `type`, `ref`, `reason` of each. The newest 10,000 are kept; go on from the answer's `after`."),
				answers("The events.", eventsAnswer)),
		},
		HelpSynopsis: "What happened to connections and providers.",
		HelpDescription: "The newest 10,000 are kept. An event is written after the record that it is about: a crash may lose one, and connections/ is right. " +
			"Read on from the last id; an answer without events means that nothing has happened since.",
	}}
}

func (p eventPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	limit, err := limitOf(d)
	if err != nil {
		return nil, err
	}
	after := d.Get("after").(int64)
	if after < 0 {
		return nil, oauth.Invalid("after", "must be the id of an event, or 0")
	}
	found, err := p.store.Events.After(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	views := make([]map[string]any, len(found))
	for i, e := range found {
		after = e.ID
		views[i] = map[string]any{"id": e.ID, "at": timestamp(e.At), "type": string(e.Type), "ref": e.Ref}
		if e.Reason != "" {
			views[i]["reason"] = e.Reason
		}
	}
	return &logical.Response{Data: map[string]any{"events": views, "after": after}}, nil
}
