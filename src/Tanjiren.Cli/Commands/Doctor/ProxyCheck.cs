namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Which way requests take, as .NET reads the environment. The agent has the environment that it was started in, which may be another.</summary>
internal static class ProxyCheck
{
    private const string Name = "proxy";
    private static readonly string[] Variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(scene)));

    private static Finding Look(DoctorScene scene)
    {
        var set = Variables.Where(name => IsSet(scene, name)).ToList();
        if (scene.Server is not { } server) return Finding.Ok(Name, set.Count == 0 ? "none is set" : $"{string.Join(", ", set)} set; no server is known to go to");
        if (scene.Proxy is not { } proxy) return Finding.Ok(Name, set.Count == 0 ? "none is set" : $"requests to {server.Host} go past it ({string.Join(", ", set)} set)");
        if (server.Scheme == "http")
            return Finding.Warning(Name, $"requests to {server.Host} go through {Address(proxy)}, as plain http", "use https: a proxy reads, and may change and keep, what is plain");
        return Finding.Ok(Name, $"requests to {server.Host} go through {Address(proxy)}");
    }

    /// <summary>.NET reads the names in small letters first.</summary>
    private static bool IsSet(DoctorScene scene, string name) =>
        !string.IsNullOrEmpty(scene.Cli.Variable(name.ToLowerInvariant())) || !string.IsNullOrEmpty(scene.Cli.Variable(name));

    /// <summary>Without the password that may stand in it.</summary>
    private static string Address(Uri proxy) => proxy.GetComponents(UriComponents.SchemeAndServer, UriFormat.UriEscaped);
}
