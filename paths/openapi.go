package paths

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
)

// Document returns the framework's OpenAPI document in the form that Vault reads.
//
// Vault decodes a plugin's document by the Go names of the framework's fields, unless a tag
// names another. No tag names "$ref": Vault would drop it, and no operation would refer to
// its schemas any more. So each "$ref" gets a "ref" beside it, which Vault reads.
func Document(doc *framework.OASDocument) (map[string]any, error) {
	for _, item := range doc.Paths {
		prune(doc, item)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	nameRefs(whole)
	return whole, nil
}

func nameRefs(node any) {
	switch node := node.(type) {
	case map[string]any:
		for _, child := range node {
			nameRefs(child)
		}
		if to, ok := node["$ref"].(string); ok {
			node["ref"] = to
		}
	case []any:
		for _, child := range node {
			nameRefs(child)
		}
	}
}

// prune removes from a write's fields those that [Check] would refuse there: the framework
// documents the fields of queries as fields of bodies, too.
func prune(doc *framework.OASDocument, item *framework.OASPathItem) {
	if item.Post == nil || item.Post.RequestBody == nil {
		return
	}
	for _, o := range []*framework.OASOperation{item.Get, item.Delete} {
		if o == nil {
			continue
		}
		for _, media := range item.Post.RequestBody.Content {
			body := doc.Components.Schemas[strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")]
			for _, parameter := range o.Parameters {
				if body != nil && !both[parameter.Name] {
					delete(body.Properties, parameter.Name)
					body.Required = slices.DeleteFunc(body.Required, func(name string) bool { return name == parameter.Name })
				}
			}
		}
	}
}
