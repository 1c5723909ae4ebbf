using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks.Answers;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Tasks.Permissions;
using Tanjiren.Server.Tasks.Retries;

namespace Tanjiren.Server.Tasks;

internal static class TasksFeature
{
    public static IServiceCollection AddTasks(this IServiceCollection services)
    {
        services.AddFeatureOptions<LeaseOptions>("Leases");
        services.AddSecrets();
        services.AddSingleton<DoctrineJudge>(p => p.GetRequiredService<DoctrineGate>().DecideAsync);
        services.AddSingleton<DoctrineTags>(p => async (sql, organizationId, snapshot) => await p.GetRequiredService<DoctrineGate>().NamedTagsAsync(sql, organizationId, snapshot));
        services.AddSingleton<TargetResolver>().AddSingleton<TaskPlanner>().AddSingleton<StepWriter>().AddSingleton<TaskEditor>();
        services.AddSingleton<ApprovalGate>().AddSingleton<ApprovalService>().AddSingleton<ApprovalStore>().AddSingleton<ApprovalStream>();
        services.AddSingleton<PermissionStore>().AddSingleton<PermissionService>().AddSingleton<StepPermissions>();
        services.AddSingleton<TaskRequestResolver>();
        services.AddSingleton<TaskService>();
        services.AddSingleton<TaskStore>();
        services.AddSingleton<TaskCanceller>();
        services.AddSingleton<TaskEventStream>();
        services.AddSingleton<StepClaimer>();
        services.AddSingleton<StepResolver>();
        services.AddSingleton<LogAppender>().AddSingleton<AnswerStore>();
        services.AddSingleton<LeaseBook>();
        services.AddSingleton<WorkQuery>();
        services.AddSingleton<RunMetrics>();
        services.AddSingleton<RetryService>().AddLoop<RetryLoop>();
        services.AddInsights();
        services.AddSingleton<HeldTasks>().AddSingleton<TaskPurge>();
        return services.AddLoop<AnyDispatcher>().AddLoop<LeaseReconciler>().AddLoop<ApprovalLoop>().AddLoop<PermissionLoop>().AddLoop<WorkGauges>();
    }

    public static void MapTasks(this IEndpointRouteBuilder routes)
    {
        routes.MapTaskEndpoints();
        routes.MapInsightEndpoints();
        routes.MapApprovalEndpoints();
        routes.MapPermissionEndpoints();
        routes.MapStepEndpoints();
        routes.MapStepPermissionEndpoints();
        routes.MapAnswerEndpoints();
    }
}
