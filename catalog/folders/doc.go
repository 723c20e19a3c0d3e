// Package folders owns the folders that sessions mount: where they lie, who may see and fill them, what they may hold, how files
// come into them and go, and what is in the trash. It knows nothing of what is in the files (catalog), of what mounts them
// (sessions), or of how another box of a cluster is reached (appliance/cluster/goods).
package folders
