using System.Security.Cryptography;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Secrets;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Secrets;

/// <summary>The key that an operator names.</summary>
internal static class KeyFile
{
    public static string In(TemporaryDirectory directory, string name = "secrets.key") => At(directory.File(name));

    public static string At(string path)
    {
        File.WriteAllText(path, Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)) + "\n");
        return path;
    }

    public static Func<ControlPlaneOptions, ControlPlaneOptions> Named(string path) =>
        options => options with { Settings = new Dictionary<string, string?> { [SecretsKey.Setting] = path } };
}
