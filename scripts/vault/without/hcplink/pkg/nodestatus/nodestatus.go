// Package nodestatus stands in for what a node reports to HCP.
package nodestatus

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// NodeStatus is the state of a node.
type NodeStatus struct {
	StatusVersion uint32
	Status        proto.Message
}

// A Reporter returns the state of a node.
type Reporter interface {
	GetNodeStatus(context.Context) (NodeStatus, error)
}
