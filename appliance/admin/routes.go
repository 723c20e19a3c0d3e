package admin

import (
	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
)

// routes is the whole table; a test holds it against the OpenAPI document.
func (s *server) routes(e *gin.Engine) {
	g := e.Group(api.Prefix)
	on := func(method, path string, h func(*gin.Context) error) { g.Handle(method, path, s.handle(h)) }

	on("GET", "/version", s.version)
	on("GET", "/doctor", s.doctor)
	on("POST", "/restart", s.restart)
	on("GET", "/runtimes", s.runtimes)
	on("GET", "/openapi.yaml", openAPIYAML)
	on("GET", "/openapi.json", openAPIJSON)

	on("GET", "/services", s.listServices)
	on("POST", "/services", s.createService)
	on("GET", "/services/:id", s.getService)
	on("PATCH", "/services/:id", s.updateService)
	on("DELETE", "/services/:id", s.destroyService)
	on("POST", "/services/:id/scale", s.scaleService)
	on("GET", "/services/:id/routes", s.listRoutes)
	on("GET", "/services/:id/routes/:rid", s.getRoute)
	on("PATCH", "/services/:id/routes/:rid", s.updateRoute)
	on("GET", "/services/:id/errors", s.serviceErrors)
	on("POST", "/services/:id/errors/clear", s.clearErrors)
	on("GET", "/services/:id/events", s.listEvents)
	on("GET", "/services/:id/autoscaling", s.getAutoscaling)
	on("PUT", "/services/:id/autoscaling", s.putAutoscaling)
	on("PATCH", "/services/:id/autoscaling", s.patchAutoscaling)
	on("DELETE", "/services/:id/autoscaling", s.deleteAutoscaling)
	on("POST", "/services/:id/autoscaling/resume", s.resumeAutoscaling)
	on("GET", "/services/:id/rules", s.listRules)
	on("POST", "/services/:id/rules", s.createRule)
	on("GET", "/services/:id/rules/:rid", s.getRule)
	on("PATCH", "/services/:id/rules/:rid", s.updateRule)
	on("DELETE", "/services/:id/rules/:rid", s.deleteRule)
	on("GET", "/services/:id/decisions", s.listDecisions)
	on("GET", "/autoscaling/metrics", listMetrics)
	on("GET", "/services/:id/revisions", s.listRevisions)
	on("POST", "/services/:id/rollback", s.rollBack)
	on("GET", "/services/:id/logs", s.serviceLogs)
	on("GET", "/services/:id/watch", s.watchService)
	on("GET", "/services/:id/live", s.serviceLive)
	on("GET", "/services/:id/captures", s.listCaptures)
	on("DELETE", "/services/:id/captures", s.clearCaptures)
	on("GET", "/services/:id/captures/:cid", s.getCapture)
	on("GET", "/services/:id/trace", s.serviceTrace)
	on("GET", "/live", s.listLive)
	on("POST", "/services/:id/token", s.issueServiceToken)
	on("GET", "/services/:id/tokens", s.listServiceTokens)
	on("DELETE", "/services/:id/tokens/:tid", s.revokeServiceToken)

	on("GET", "/tokens", s.listTokens)
	on("POST", "/tokens", s.issueToken)
	on("DELETE", "/tokens/:tid", s.revokeToken)

	on("GET", "/usage", s.getUsage)

	on("GET", "/sessions", s.listSessions)
	on("GET", "/sessions/:id", s.getSession)
	on("DELETE", "/sessions/:id", s.terminateSession)
	on("GET", "/sessions/:id/logs", s.sessionLogs)
	on("GET", "/sessions/:id/status-history", s.statusHistory)
	on("GET", "/sessions/:id/stats", s.sessionStats)

	on("GET", "/nodes", s.listNodes)
	on("GET", "/devices", s.listDevices)
	on("GET", "/devices/:id", s.getDevice)
	on("GET", "/devices/:id/history", s.deviceHistory)
	on("POST", "/devices/:id/fence", s.fenceDevice)
	on("POST", "/devices/:id/unfence", s.unfenceDevice)
	on("GET", "/queue", s.listQueue)

	on("GET", "/folders", s.listFolders)
	on("POST", "/folders", s.createFolder)
	on("GET", "/folders/:id", s.getFolder)
	on("DELETE", "/folders/:id", s.removeFolder)
	on("GET", "/folders/:id/entries", s.listEntries)
	on("DELETE", "/folders/:id/entries", s.removeEntry)
	on("GET", "/folders/:id/files", s.download)
	on("HEAD", "/folders/:id/files", s.download)
	on("PUT", "/folders/:id/files", s.upload)

	on("GET", "/images", s.listImages)
	on("DELETE", "/images", s.removeImage)
	on("POST", "/images/pull", s.pullImage)
	on("POST", "/images/import", s.importImages)
	on("GET", "/images/export", s.exportImage)
	on("POST", "/images/prune", s.pruneImages)
	on("GET", "/registries", s.listRegistries)
	on("GET", "/registries/:host", s.getRegistry)
	on("PUT", "/registries/:host", s.logIn)
	on("DELETE", "/registries/:host", s.logOut)

	on("GET", "/keys", s.listKeys)
	on("POST", "/keys", s.createKey)
	on("DELETE", "/keys/:id", s.revokeKey)
}
