using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

internal static class TasksFeature
{
    public static IServiceCollection AddTasks(this IServiceCollection services)
    {
        services.AddFeatureOptions<LeaseOptions>("Leases");
        services.AddSingleton<TaskRequestResolver>();
        services.AddSingleton<TaskService>();
        services.AddSingleton<TaskStore>();
        services.AddSingleton<TaskCanceller>();
        services.AddSingleton<TaskEventStream>();
        services.AddSingleton<StepClaimer>();
        services.AddSingleton<StepResolver>();
        services.AddSingleton<LogAppender>();
        services.AddSingleton<LeaseBook>();
        services.AddSingleton<WorkQuery>();
        services.AddSingleton<RunMetrics>();
        return services.AddLoop<AnyDispatcher>().AddLoop<LeaseReconciler>().AddLoop<WorkGauges>();
    }

    public static void MapTasks(this IEndpointRouteBuilder routes)
    {
        routes.MapTaskEndpoints();
        routes.MapStepEndpoints();
    }
}
