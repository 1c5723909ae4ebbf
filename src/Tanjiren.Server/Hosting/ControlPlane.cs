using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Hosting;

/// <summary>Builds a control plane. Reads as its table of contents.</summary>
public static class ControlPlane
{
    /// <summary>An application that is ready to start; its database is migrated when it starts.</summary>
    /// <exception cref="FormatException">A setting can't be understood; the message names it.</exception>
    public static WebApplication Build(ControlPlaneOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Tanjiren.Server" });
        builder.Configuration.AddEnvironmentVariables();
        if (options.Settings is not null) builder.Configuration.AddInMemoryCollection(options.Settings);

        builder.WebHost.UseKestrel().UseUrls([.. options.Urls]).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = WireLimits.MaxBodyBytes;
            kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
        });
        ConfigureLogging(builder.Logging, options);

        var services = builder.Services;
        services.AddRoutingCore();
        services.AddSingleton(options);
        services.AddSingleton(options.Clock);
        services.AddSingleton(new Database(DatabaseUrl.Open(options.Database, options.Clock)));
        services.AddSingleton<Migrator>();
        services.AddSingleton<WakeUps>();
        services.AddSingleton<Counters>();
        services.AddSingleton<AuditLog>();
        services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, WireJson.Default);
            json.SerializerOptions.Converters.Add(new InstantConverter());
            json.SerializerOptions.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
            json.SerializerOptions.NumberHandling = JsonNumberHandling.Strict;
        });

        var app = builder.Build();
        return app;
    }

    private static void ConfigureLogging(ILoggingBuilder logging, ControlPlaneOptions options)
    {
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        if (options.ConfigureLogging is { } configure) configure(logging);
        else logging.AddSimpleConsole(console => console.SingleLine = true);
    }
}
