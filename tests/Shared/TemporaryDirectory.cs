namespace Tanjiren.Tests;

/// <summary>A fresh directory that goes away with the test. Short, because Unix sockets live in some of them.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("tanjiren-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        try
        {
            Directory.Delete(Path, recursive: true);
        }
        catch (IOException)
        {
            // A process that is being killed may still write here; the system's temporary directory is cleaned by its owner.
        }
    }
}
