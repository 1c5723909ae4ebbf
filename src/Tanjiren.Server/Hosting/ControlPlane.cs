using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Tanjiren.Protocol;
using Tanjiren.Server.Assignments;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Records;
using Tanjiren.Server.Retention;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Webhooks;
using Tanjiren.Server.Workstations;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Server.Hosting;

/// <summary>Builds a control plane. Reads as its table of contents.</summary>
public static class ControlPlane
{
    /// <summary>Name of the server's own activity source and meter.</summary>
    public const string TelemetryName = "Tanjiren.Server";

    /// <summary>Name of the framework's activity source, whose spans of requests the server describes.</summary>
    public const string RequestSource = "Microsoft.AspNetCore";

    /// <summary>An application that is ready to start; its database is migrated when it starts.</summary>
    /// <exception cref="FormatException">A setting can't be understood or is refused; the message names it.</exception>
    public static WebApplication Build(ControlPlaneOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Tanjiren.Server" });
        builder.Configuration.AddEnvironmentVariables();
        if (options.Settings is not null) builder.Configuration.AddInMemoryCollection(options.Settings);
        ConfigureLogging(builder.Logging, options);

        builder.Services
            .AddData(options)
            .AddHosting(options)
            .AddIdentity()
            .AddOrganizations()
            .AddGovernance()
            .AddDeviceTrust()
            .AddWorkstations()
            .AddSessions()
            .AddTasks()
            .AddAssignments()
            .AddSchedules()
            .AddAudit()
            .AddRetention()
            .AddRecords()
            .AddWebhooks();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().UseUrls([.. options.Urls]);

        var app = builder.Build();
        // The order matters: every error is answered, foreign hosts see nothing, and only a chosen route says who may call it.
        app.UseMiddleware<RequestSpans>();
        app.UseTrustedProxies();
        app.UseMiddleware<ErrorAnswers>();
        app.UseHostGuard();
        app.UseRouting();
        app.UseMiddleware<DeviceAuthentication>();
        app.UseMiddleware<SignedOutGate>();
        app.UseMiddleware<CallerAuthentication>();

        app.MapHealth();
        app.MapApiDocument();
        app.MapIdentity();
        app.MapOrganizations();
        app.MapGovernance();
        app.MapDeviceTrust();
        app.MapWorkstations();
        app.MapSessions();
        app.MapTasks();
        app.MapAssignments();
        app.MapSchedules();
        app.MapAudit();
        app.MapRecords();
        app.MapWebhooks();
        return app;
    }

    private static IServiceCollection AddData(this IServiceCollection services, ControlPlaneOptions options)
    {
        var provider = DatabaseUrl.Open(options.Database, options.Clock);
        if (provider is PostgresProvider postgres) services.AddSingleton(postgres).AddLoop<PostgresWakeUps>();
        return services.AddSingleton(new Database(provider)).AddSingleton<Migrator>();
    }

    private static IServiceCollection AddHosting(this IServiceCollection services, ControlPlaneOptions options)
    {
        services.AddRoutingCore();
        services.AddSingleton(options).AddSingleton(options.Clock);
        services.AddMetrics().AddHostedService<ServerStart>().AddHostedService<StatusMetrics>();
        services.AddFeatureOptions<HostingOptions>("Hosting");
        services.AddSingleton<ServerAddress>().AddSingleton<AttemptLimiter>().AddSingleton<Idempotency>().AddSingleton<WakeUps>().AddSingleton<Counters>();
        services.AddLoop<ExpiredRowsLoop>();
        services.AddApiDocument();
        services.Configure<RouteHandlerOptions>(handlers => handlers.ThrowOnBadRequest = true); // ErrorAnswers says it better
        services.AddOptions<KestrelServerOptions>().Configure<HostingOptions>((kestrel, hosting) =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = WireLimits.MaxBodyBytes;
            kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(hosting.MinBodyBytesPerSecond, TimeSpan.FromSeconds(hosting.BodyGraceSeconds));
        });
        services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, WireJson.Default);
            json.SerializerOptions.Converters.Add(new InstantConverter());
            json.SerializerOptions.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
            json.SerializerOptions.NumberHandling = JsonNumberHandling.Strict;
        });
        return services;
    }

    private static void ConfigureLogging(ILoggingBuilder logging, ControlPlaneOptions options)
    {
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        if (options.ConfigureLogging is { } configure) configure(logging);
        else logging.AddSimpleConsole(console => console.SingleLine = true);
    }
}
